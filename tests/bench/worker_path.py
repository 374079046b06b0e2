# SPDX-License-Identifier: MPL-2.0
"""Measures what the worker does for a frame besides inference, against the plain way to do it.

The plain way is written out here: decode the whole JPEG, scale and pad it, make the tensor, run the session,
multiply all scores. Both ways take turns, so that the machine's moods hit both; times are medians of CPU
time on one thread. `make setup` makes the Python environment that this runs in.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models"), str(ROOT / "tests" / "worker")]

from worker_process import WorkerProcess, jpeg_message  # noqa: E402  (it needs the paths above)

from orion_worker import images  # noqa: E402
from orion_worker.letterbox import GREY, Letterbox  # noqa: E402
from orion_worker.network import Network  # noqa: E402
from orion_worker.session import PROVIDERS, ort  # noqa: E402
from orion_worker.yolox import Yolox, cells  # noqa: E402

FRAMES = {"720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
_ROUNDS = 40
_STARTS = 7
PERSON = np.array([0])


@dataclass(frozen=True)
class Compared:
    """Medians in ms: the plain way, if there is one, and ours."""

    name: str
    plain: float | None
    ours: float
    note: str = ""


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="What the worker does for a frame, against the plain way.")
    default = Path(os.environ.get("ORION_TEST_DATA") or ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, metavar="DIR", default=default, help="default: %(default)s")
    data = parser.parse_args().data
    if not (data / "models").is_dir():
        print(f"no test data in {data}: give --data or set ORION_TEST_DATA", file=sys.stderr)
        return 2
    print(f"{'CPU ms, medians':44}{'plain':>9}{'ours':>9}{'ratio':>7}")
    for line in compared(data):
        plain = f"{line.plain:9.3f}" if line.plain else " " * 9
        ratio = f"{line.ours / line.plain:7.2f}" if line.plain else ""
        print(f"{line.name:44}{plain}{line.ours:9.3f}{ratio}  {line.note}".rstrip(), flush=True)
    return 0


def measure(setting) -> Iterator[object]:
    """The same as lines of the table of `run.py`."""
    from rows import Row

    setting.others.settle()
    for line in compared(setting.data):
        ratio = line.ours / line.plain if line.plain else None
        unit = "ms" if "wall" in line.name else "CPU ms"
        yield Row("worker", line.name, unit, line.ours, line.plain, ratio, note=line.note)


def compared(data: Path) -> Iterator[Compared]:
    """All comparisons, one after the other."""
    cv2.setNumThreads(1)
    os.environ["ORION_MODEL_CACHE"] = "off"
    picture = next(iter(sorted((data / "photos" / "images").glob("*.jpg"))))
    photo = cv2.imread(str(picture))
    for name, size in FRAMES.items():
        frame = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC)
        for side in (640, 320):
            yield decoding(name, frame, side)
            yield laying_out(name, frame, side)
    for file in ("yoloxn_fp32_640.onnx", "yoloxn_fp32_320.onnx"):
        yield running(data / "models" / file)
    yield reading_rows()
    yield from whole_frames(data, cv2.resize(photo, FRAMES["1080p"], interpolation=cv2.INTER_CUBIC))
    yield from starting(data)


def row(name: str, plain: Callable[[], object], ours: Callable[[], object]) -> Compared:
    """Measure both in turns."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for work, times in zip((plain, ours), spent, strict=True):
            start = time.thread_time()
            work()
            times.append(1e3 * (time.thread_time() - start))
    return Compared(name, statistics.median(spent[0]), statistics.median(spent[1]))


def decoding(name: str, frame: np.ndarray, side: int) -> Compared:
    """A JPEG decoded whole, and as small as it need not be enlarged."""
    size = (frame.shape[1], frame.shape[0])
    data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    factor = Letterbox.fit(size, (side, side), "centre").reduction()
    return row(
        f"decode {name} for {side} (1/{factor})",
        lambda: images.decode(data, "jpeg", *size),
        lambda: images.decode(data, "jpeg", *size, factor),
    )


def laying_out(name: str, frame: np.ndarray, side: int) -> Compared:
    """A decoded picture made a tensor, from what each way of decoding gives."""
    from orion_worker.tensor import Tensor
    from orion_worker.yolo import Yolo

    size = (frame.shape[1], frame.shape[0])
    factor = Letterbox.fit(size, (side, side), "centre").reduction()
    small = cv2.resize(frame, [-(-length // factor) for length in size])
    tensor = Tensor(side, side, Yolo(80).layout)

    def ours() -> None:
        box = Letterbox.fit((small.shape[1], small.shape[0]), (side, side), "centre")
        tensor.fill(small, box)

    return row(f"lay out {name} for {side}", lambda: plain_tensor(frame, side), ours)


def plain_tensor(image: np.ndarray, side: int) -> np.ndarray:
    """Scale, pad, reorder, normalise."""
    box = Letterbox.fit((image.shape[1], image.shape[0]), (side, side), "centre")
    scaled = cv2.resize(image, (box.scaled_width, box.scaled_height))
    right, bottom = side - box.scaled_width - box.left, side - box.scaled_height - box.top
    edges = (box.top, bottom, box.left, right)
    canvas = cv2.copyMakeBorder(scaled, *edges, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY))
    blob = np.empty((1, 3, side, side), np.float32)
    for plane, channel in enumerate((2, 1, 0)):
        np.multiply(canvas[:, :, channel], np.float32(1 / 255), out=blob[0, plane])
    return blob


def running(file: Path) -> Compared:
    """Inference with memory of its own each time, and with memory that stays."""
    network = Network.open(file, "auto", "cpu", 1, 640)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    plain = ort.InferenceSession(str(file), options, providers=[PROVIDERS["cpu"]])
    tensor, run = network.tensors.take()
    tensor.blob[...] = 0.5
    name = plain.get_inputs()[0].name
    return row(f"run {file.stem}", lambda: plain.run(None, {name: tensor.blob}), run)


def reading_rows() -> Compared:
    """The grid of a YOLOX network: scores of all classes in all cells, and of those that matter."""
    head = Yolox(80, cells(640, 640))
    output = np.random.default_rng(1).uniform(0, 0.4, (1, len(head.grid), 85)).astype(np.float32)

    def plain() -> None:
        scores = (output[0][:, 5:] * output[0][:, 4:5]).T
        np.flatnonzero(scores[PERSON].max(axis=0) >= 0.5)

    return row("read a YOLOX grid 640", plain, lambda: head.decode(output, PERSON, 0.5))


def whole_frames(data: Path, frame: np.ndarray) -> Iterator[Compared]:
    """CPU time of the whole worker per 1080p JPEG; as BMP-like raw frames nothing can be decoded smaller."""
    models = data / "models"
    message = jpeg_message(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    worker = WorkerProcess(
        "--model",
        models / "yoloxn_fp32_640.onnx",
        "--model-320",
        models / "yoloxn_fp32_320.onnx",
        "--threads",
        1,
    )
    try:
        worker.ready()
        for side in (640, 320):
            asked = {"target_size": side, "crop_applied": False, "source": "", "attention_rois": []}
            message["meta"]["roi_processing"] = asked | {"merged_roi": None}
            worker.ask(message)
            before = worker.cpu_seconds()
            answers = [worker.ask(message) for _ in range(_ROUNDS)]
            spent = 1e3 * (worker.cpu_seconds() - before) / _ROUNDS
            inference = statistics.median(answer["timing"]["inference_ms"] for answer in answers)
            note = f"inference, wall: {inference:.3f}"
            yield Compared(f"worker, 1080p JPEG, {side}", None, spent, note)
    finally:
        worker.kill()


def starting(data: Path) -> Iterator[Compared]:
    """A worker from its start to its first result, without and with the cache of optimised models."""
    models = data / "models"
    picture = next(iter(sorted((data / "photos" / "images").glob("*.jpg")))).read_bytes()
    command = ("--model", models / "yoloxn_fp32_640.onnx", "--model-320", models / "yoloxn_fp32_320.onnx")
    with tempfile.TemporaryDirectory() as folder:
        spent: dict[str, list[tuple[float, float]]] = {"off": [], folder: []}
        for number in range(_STARTS + 1):
            for place, times in spent.items():
                start = time.perf_counter()
                worker = WorkerProcess(*command, "--threads", 1, ORION_MODEL_CACHE=place)
                try:
                    load_ms = worker.ready()["load_ms"]
                    worker.ask(jpeg_message(picture))
                    if number:  # the first one fills the cache
                        times.append((load_ms, 1e3 * (time.perf_counter() - start)))
                finally:
                    worker.kill()
    medians = [[statistics.median(column) for column in zip(*times, strict=True)] for times in spent.values()]
    for at, name in enumerate(("load and warm up, wall", "start to first result, wall")):
        yield Compared(f"{name} (plain: no cache)", medians[0][at], medians[1][at])


if __name__ == "__main__":
    sys.exit(main())
