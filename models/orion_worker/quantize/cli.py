# SPDX-License-Identifier: MPL-2.0
"""Command line of `python -m orion_worker quantize`."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import cv2

from orion_worker import cache, settings
from orion_worker.errors import ModelError, SetupError, UsageError, WorkerError
from orion_worker.log import configure
from orion_worker.quantize import frames
from orion_worker.quantize.agreement import Agreement

_DESCRIPTION = """\
Make INT8 models of your own models, calibrated on frames of your own camera, and hold them against the
originals on other frames. Models that do not find what the originals find are refused.

  python -m orion_worker quantize yolo11n_fp32_640.onnx yolo11n_fp32_320.onnx --video clip.mp4
"""

_EPILOG = """\
Exit status: 0 all are written, 2 wrong usage, 3 a model is not usable or its INT8 form was refused,
78 a Python package is missing. Either all models are written or none."""

# Above this, 8 bits are not worth their loss.
_NO_FASTER = 0.95


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see quantize --help)")


def main(arguments: Sequence[str]) -> int:
    """Quantise the models that the command line names; returns the exit status."""
    configure("warning")
    try:
        _run(_parser().parse_args(list(arguments)))
    except WorkerError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _run(options: argparse.Namespace) -> None:
    try:
        from orion_worker.quantize.trial import Judge, quantise
    except ImportError as error:
        raise SetupError(f"{error}; run `pip install 'orion-worker[quantize]'`") from error
    os.environ[cache.VARIABLE] = "off"  # what is tried here is loaded once
    cv2.setNumThreads(settings.thread_count(options.threads))
    targets = _targets(options.models, options.output)
    if options.video:
        found = frames.from_video(options.video, options.frames)
    else:
        found = frames.from_folder(options.images, options.frames)
    calibrate, hold = frames.split(found)
    print(f"{len(calibrate)} frames to calibrate with, {len(hold)} others to judge by", flush=True)
    judge = Judge(tuple(options.labels), options.confidence, options.least_agreement)
    folder = options.output or options.models[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".quantize-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: {error.strerror or error}") from error
    with scratch as place:
        made = []
        for model, target in zip(options.models, targets, strict=True):
            half = Path(place) / target.name
            trial = quantise(model, half, (calibrate, hold), judge, options.threads)
            made.append((half, target))
            print(_report(model, target, trial.agreement, trial.ratio, trial.head), flush=True)
        for half, target in made:
            os.replace(half, target)
            print(f"written: {target}")


def _report(model: Path, target: Path, agreement: Agreement, ratio: float, head: int) -> str:
    of = agreement.again + agreement.lost
    lines = [
        f"{target.name}:",
        f"  boxes of the original found again {agreement.again} of {of} "
        f"({agreement.lost} lost, {agreement.new} new; agreement {agreement.share:.3f})",
        f"  of those: mean IoU {agreement.iou:.3f}, mean change of confidence {agreement.confidence:+.3f}",
        f"  inference takes {ratio:.2f} of the original's time on this machine",
    ]
    if head:
        lines.append(f"  the last {head} convolutions before the outputs keep 32 bits")
    if ratio > _NO_FASTER:
        lines.append(f"  no gain here: {model.name} is the better choice on this machine")
    return "\n".join(lines)


def _targets(models: Sequence[Path], output: Path | None) -> list[Path]:
    targets = []
    for model in models:
        if not model.is_file():
            raise ModelError(f"model file {model} does not exist")
        name = model.name
        for bits in ("_fp32", "_fp16"):
            name = name.replace(bits, "_int8")
        if name == model.name:
            name = f"{model.stem}_int8.onnx"
        targets.append((output or model.parent) / name)
    if len(set(targets)) < len(targets):
        raise UsageError(f"two models would both become {targets[0].name}")
    return targets


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m orion_worker quantize",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("models", nargs="+", type=Path, metavar="MODEL", help="ONNX models, the 640 and the 320 of a pair")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, metavar="DIR", help="pictures taken by the camera")
    source.add_argument("--video", type=Path, metavar="CLIP", help="a recording of the camera")
    add("--output", type=Path, metavar="DIR", help="where the models go (default: beside the originals)")
    add(
        "--frames",
        type=_count,
        default=128,
        metavar="N",
        help="used of them, half of it to judge (default: 128)",
    )
    add(
        "--labels",
        type=_labels,
        default=["person"],
        metavar="A,B",
        help="classes to judge by (default: person)",
    )
    add("--confidence", type=_fraction, default=0.5, metavar="0..1", help="default: %(default)s")
    least = "agreement below which a model is refused (default: %(default)s)"
    add("--least-agreement", type=_fraction, default=0.9, metavar="0..1", help=least)
    add("--threads", type=_threads, default=0, metavar="N", help="0 = all cores (default: 0)")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not frames.LEAST <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {frames.LEAST} to 10000")
    return int(text)


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 1024")
    return int(text)


def _fraction(text: str) -> float:
    try:
        return settings.fraction(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def _labels(text: str) -> list[str]:
    try:
        return settings.labels(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
