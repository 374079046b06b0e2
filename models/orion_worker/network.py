# SPDX-License-Identifier: MPL-2.0
"""A detection network ready to use: session, the decoder that fits its output, warm-up."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orion_worker.candidates import Candidates
from orion_worker.detector import Image, Stages
from orion_worker.errors import ModelError
from orion_worker.letterbox import Letterbox
from orion_worker.log import log
from orion_worker.session import Session
from orion_worker.tensor import Run, Stack, Tensor, Tensors
from orion_worker.yolo import Yolo
from orion_worker.yolox import Yolox, cell_count, cells

Head = Yolo | Yolox

# The first run allocates. Accelerators may try several ways of working in their first runs.
_WARM_UP_RUNS = {"cpu": 1}
_OTHER_WARM_UP_RUNS = 2


def head_for(kind: str, shape: tuple[int, ...], input_size: tuple[int, int]) -> Head:
    """The decoder of an output shape; `kind` is auto, yolo or yolox.

    Raises:
        ValueError: the shape is neither `(1, 4 + classes, n)` nor `(1, n, 5 + classes)`, or not the one
            that `kind` asks for.
    """
    width, height = input_size
    count = cell_count(width, height)
    if len(shape) == 3 and shape[0] == 1:
        grid = shape[1] == count and shape[2] > 5
        # Other strides give other n; more boxes than rows is what tells columns from rows then.
        columns = shape[1] > 4 and (shape[2] == count or (shape[2] > shape[1] and not grid))
        if columns and kind in ("auto", "yolo"):
            return Yolo(shape[1] - 4)
        if grid and kind in ("auto", "yolox"):
            return Yolox(shape[2] - 5, cells(width, height))
    layouts = {"yolo": "(1, 4 + classes, n)", "yolox": f"(1, {count}, 5 + classes)"}
    expected = layouts.get(kind) or " or ".join(layouts.values())
    raise ValueError(f"output shape {shape} for a {width}x{height} input, expected {expected}")


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """A picture as a network's input: how it lies in it, the tensor, and the time to make them.

    It is for one `Network.detect`, which takes the tensor back for a later picture.
    """

    box: Letterbox
    tensor: tuple[Tensor, Run]
    prepare_ms: float


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded and warmed up model, which can run up to `max_batch` pictures at once."""

    session: Session
    head: Head
    tensors: Tensors
    max_batch: int
    stack: Stack

    @classmethod
    def open(
        cls, file: Path, kind: str, provider: str, threads: int, default_side: int, max_batch: int = 1
    ) -> "Network":
        """Load a model, run it on a blank input and choose the decoder by what comes out.

        It is used for more than one picture at a time, up to `max_batch`, if the model leaves their number
        open and makes the same of two pictures together as of each alone.

        Arguments and errors as for `Session.open` and `head_for`; every failure is a `WorkerError`.
        """
        session = Session.open(file, provider, threads, default_side)
        width, height = session.input_size
        run = session.bind(np.zeros((1, 3, height, width), np.float32))
        try:
            shapes = [run().shape for _ in range(_WARM_UP_RUNS.get(provider, _OTHER_WARM_UP_RUNS))]
        except Exception as error:  # whatever ONNX Runtime raises for a graph it cannot run
            raise ModelError(f"model {file} fails on a blank {width}x{height} input: {error}") from error
        try:
            head = head_for(kind, shapes[-1], session.input_size)
        except ValueError as error:
            raise ModelError(f"model {file}: {error}") from error

        def make() -> tuple[Tensor, Run]:
            tensor = Tensor(width, height, head.layout)
            return tensor, session.bind(tensor.blob)

        batch = max_batch if max_batch > 1 and _can_batch(session, head, max_batch) else 1
        return cls(session, head, Tensors(make), batch, Stack())

    def letterbox(self, size: tuple[int, int]) -> Letterbox:
        """How a picture of `size` (width, height) px lies in the network's input."""
        return Letterbox.fit(size, self.session.input_size, self.head.anchor)

    def prepare(self, image: Image) -> NetworkInput:
        """Scale and lay out a picture; uses nothing that changes, so any thread may call it."""
        start = time.perf_counter()
        box = self.letterbox((image.shape[1], image.shape[0]))
        tensor = self.tensors.take()
        tensor[0].fill(image, box)
        return NetworkInput(box, tensor, 1e3 * (time.perf_counter() - start))

    def detect(
        self, given: NetworkInput, wanted: NDArray[np.int64], threshold: float
    ) -> tuple[Candidates, Stages]:
        """Candidates in px of the picture, before clipping and suppression, and the time of each stage."""
        start = time.perf_counter()
        try:
            output = given.tensor[1]()
            spent_ms = 1e3 * (time.perf_counter() - start)
            return self._decode(given, output, spent_ms, wanted, threshold)
        finally:
            self.tensors.give_back(given.tensor)

    def detect_batch(
        self, given: Sequence[NetworkInput], wanted: NDArray[np.int64], threshold: float
    ) -> list[tuple[Candidates, Stages] | Exception]:
        """As `detect` for each of them, in one run, whose time is that of all.

        A failure is that of one picture. If this raises, the tensors are still theirs.
        """
        start = time.perf_counter()
        output = self.session.run(self.stack.of([one.tensor[0] for one in given]))
        spent_ms = 1e3 * (time.perf_counter() - start)
        if len(output) != len(given):
            raise ValueError(f"output shape {output.shape} for {len(given)} pictures")
        found: list[tuple[Candidates, Stages] | Exception] = []
        for place, one in enumerate(given):
            try:
                found.append(self._decode(one, output[place : place + 1], spent_ms, wanted, threshold))
            except Exception as error:  # this picture's own, as in `detect`
                found.append(error)
            finally:
                self.tensors.give_back(one.tensor)
        return found

    def _decode(
        self,
        given: NetworkInput,
        output: NDArray[np.float32],
        spent_ms: float,
        wanted: NDArray[np.int64],
        threshold: float,
    ) -> tuple[Candidates, Stages]:
        start = time.perf_counter()
        found = self.head.decode(output, wanted, threshold)
        found = Candidates(given.box.to_source(found.boxes), found.scores, found.classes)
        return found, Stages(given.prepare_ms, spent_ms, 1e3 * (time.perf_counter() - start))


def _can_batch(session: Session, head: Head, most: int) -> bool:
    # That the model leaves the number open does not say that it was meant: a constant shape further
    # inside may mix pictures, or fail.
    if not session.is_batched:
        log.debug("model %s takes one picture at a time", session.file.name)
        return False
    width, height = session.input_size
    # As many as there may be, as the first run of them allocates.
    pictures = np.zeros((most, 3, height, width), np.float32)
    pictures[1] = np.random.default_rng(1).random((3, height, width), np.float32) * 255 * head.layout.factor
    try:
        alone = np.concatenate([session.run(pictures[place : place + 1]) for place in (0, 1)])
        together = session.run(pictures)
        found = together[[0, 1]] if len(together) == most else together
    except Exception as error:  # whatever ONNX Runtime raises
        log.warning("model %s takes one picture at a time: %s", session.file.name, str(error).splitlines()[0])
        return False
    if found.shape != alone.shape or not _is_near(found, alone):
        log.warning(
            "model %s takes one picture at a time: two at once give another result", session.file.name
        )
        return False
    return True


def _is_near(found: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    # Half precision and accelerators round differently; mixed up pictures differ by far more.
    return bool(np.allclose(found, expected, rtol=0.01, atol=0.01 * float(np.abs(expected).max())))
