# SPDX-License-Identifier: MPL-2.0
"""Command line of the shipped workers, which is also what the host adds to that of any other."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from orion_worker import settings
from orion_worker.errors import UsageError
from orion_worker.log import LEVELS, configure, log
from orion_worker.version import VERSION

DEFAULT_MODEL_DIR = Path(__file__).resolve().parent.parent / "weights"

DETECTORS = ("auto", "yolo", "yolox", "motion")
SIZES = ("orion", "n", "s", "m", "l", "x")
MAX_THREADS = 1024
MAX_BATCH = 8
DEFAULT_BATCH = 4


@dataclass(frozen=True, slots=True)
class Options:
    """The flags, checked. `model` None means: search `model_dir` for `model_size`."""

    detector: str
    model: Path | None
    model_320: Path | None
    model_dir: Path
    model_size: str
    confidence: float
    iou_threshold: float
    labels: tuple[str, ...]
    threads: int
    execution_provider: str
    log_level: str
    max_batch: int = 1
    batch_wait: float = 0.0

    def wanted_batch(self) -> int:
        """How many frames to run at once where the model allows it.

        On a processor the frames a second stay the same, and each waits for more (tests/bench/batches.py).
        """
        return self.max_batch or (1 if self.execution_provider == "cpu" else DEFAULT_BATCH)


_DESCRIPTION = """\
Detect persons, or motion, in frames that arrive on standard input; results go to standard output.
At a terminal, type commands like {"command": "ping"}, one a line; Ctrl-D ends."""

_EPILOG = """\
Check a worker of your own: python -m orion_worker check --help
Make INT8 models of yours:  python -m orion_worker quantize --help
Optimised models are kept for the next start in ~/.cache/orion/models; ORION_MODEL_CACHE names another
folder, or is off.

Exit status: 0 end of input, 2 wrong flag, 3 unusable model, 4 execution provider not available,
5 broken input stream, 70 internal error, 78 a Python package is missing."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def parse(arguments: Sequence[str], default_model_dir: Path) -> Options:
    """Read the command line; `--help` and `--version` print and leave by `SystemExit`.

    Raises:
        UsageError: a flag is unknown or its value wrong; the text names both.
    """
    parser = _parser(default_model_dir)
    _add_help(parser)
    values = _finished(parser.parse_args(arguments), default_model_dir)
    if values.model_320 is not None and values.model is None:
        raise UsageError("argument --model-320: needs --model as well (see --help)")
    return Options(**vars(values))


def options(arguments: Sequence[str] | None = None) -> Options:
    """What the host adds to the command line of a worker: confidence, labels, model directory, ...

    A worker of one's own may read it before `run`, or not. Flags that are not the host's are ignored,
    flags that are missing have the defaults of `--help`.

    Args:
        arguments: those of the process if None.

    Raises:
        SystemExit: a value is wrong; the log names it, and the status is 2.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        values, _ = _parser(DEFAULT_MODEL_DIR).parse_known_args(given)
        values = _finished(values, DEFAULT_MODEL_DIR)
    except UsageError as error:
        configure()
        log.error("%s", error)
        raise SystemExit(error.exit_status) from error
    return Options(**vars(values))


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "python -m orion_worker" if name == "__main__.py" else name


def _parser(default_model_dir: Path) -> _Parser:
    parser = _Parser(
        prog=_program(),
        allow_abbrev=False,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add(
        "--detector",
        choices=DETECTORS,
        default="auto",
        help="what decodes the output (default: by its shape)",
    )
    add("--model", type=_typed(_path), metavar="FILE", help="ONNX model; without it --model-dir is searched")
    add("--model-320", type=_typed(_path), metavar="FILE", help="ONNX model for target size 320")
    directory = str(_directory() or default_model_dir).replace("%", "%%")
    add("--model-dir", type=_typed(_path), metavar="DIR", help=f"default: {directory}")
    sizes = "orion comes with Orion, others are searched for (default: orion; n with --model-dir)"
    add("--model-size", choices=SIZES, help=sizes)
    add("--confidence", type=_typed(_fraction), metavar="0..1", default=0.5, help="default: %(default)s")
    add("--iou-threshold", type=_typed(_fraction), metavar="0..1", default=0.45, help="default: %(default)s")
    people = ("person",)
    add("--labels", type=_typed(_labels), metavar="A,B", default=people, help="classes (default: person)")
    cores = "threads of one inference, 0 = all cores (default: 0)"
    add("--threads", type=_typed(_threads), metavar="N", default=0, help=cores)
    batches = "frames of different cameras run at once, 0 = 4, on the CPU 1 (default: 1)"
    add("--max-batch", type=_typed(_batch), metavar="N", default=1, help=batches)
    wait = "how long a frame waits for others to be run with it, 0 to 1000 (default: 0)"
    add("--batch-wait", type=_typed(_wait), metavar="MS", default=0.0, help=wait)
    add("--execution-provider", metavar="NAME", default="cpu", help="cpu, cuda, openvino, ... (default: cpu)")
    add("--log-level", choices=LEVELS, default="info", help="default: info")
    return parser


def _directory() -> Path | None:
    given = os.environ.get("ORION_MODEL_DIR")
    return Path(given) if given else None


def _finished(values: argparse.Namespace, default_model_dir: Path) -> argparse.Namespace:
    # Who names a directory has models there; the one that comes with Orion is for who says nothing.
    named = values.model_dir or _directory()
    values.model_dir = named or default_model_dir
    values.model_size = values.model_size or ("n" if named else "orion")
    return values


def _add_help(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-h", "--help", action="help", help="show this text and end")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")


def _typed(check: Callable[[str], Any]) -> Callable[[str], Any]:
    # argparse shows the text of this exception only; a ValueError's would be lost.
    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def _fraction(text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a number") from error
    return settings.fraction(number)


def _labels(text: str) -> tuple[str, ...]:
    # Hosts write UTF-8; what Python makes of that depends on the locale.
    return tuple(settings.labels(os.fsencode(text).decode(errors="replace")))


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is no path")
    return Path(text)


def _threads(text: str) -> int:
    return _count(text, MAX_THREADS)


def _batch(text: str) -> int:
    return _count(text, MAX_BATCH)


def _count(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise ValueError(f"{text!r} is not a whole number from 0 to {most}")
    return int(text)


def _wait(text: str) -> float:
    try:
        wait = float(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a number") from error
    if not 0 <= wait <= settings.MAX_BATCH_WAIT_MS:
        raise ValueError(f"{text} is not between 0 and {settings.MAX_BATCH_WAIT_MS}")
    return wait
