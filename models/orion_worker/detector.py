# SPDX-License-Identifier: MPL-2.0
"""What a detector is to the worker: plain values in, plain values out, nothing of the wire."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

# An image is (height, width, 3), 8 bits, channel order blue, green, red (OpenCV's).
Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame of `size` (width, height) px, whose `image` may be smaller by `reduction` (1, 2, 4, 8).

    The image's sides are the frame's divided by `reduction` and rounded up, and one of its pixels is
    `reduction` by `reduction` px of the frame, counted from the top left corner.
    """

    image: Image
    size: tuple[int, int]
    reduction: int = 1


@dataclass(frozen=True, slots=True)
class NormRect:
    """A rectangle in 0..1 of the frame: top-left corner and size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Attention:
    """Where to look: `region` of the frame (None = all of it) and the network input wanted (320 or 640)."""

    region: NormRect | None = None
    target_size: int = 640


@dataclass(frozen=True, slots=True)
class Detection:
    """One object: top-left corner and size in pixels of the whole frame, confidence in 0..1."""

    x: float
    y: float
    width: float
    height: float
    confidence: float
    label: str
    label_id: int = 0


@dataclass(frozen=True, slots=True)
class Stages:
    """Milliseconds of the three stages of an inference."""

    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float


@dataclass(frozen=True, slots=True)
class Inference:
    """What a detector found in one frame.

    `crop_applied` tells that only a part of the frame was looked at, `metadata` goes into the
    result as it is, and without `stages` all the time counts as inference. The worker clips boxes
    to the frame, drops empty ones, sorts by confidence and rounds.
    """

    detections: Sequence[Detection]
    crop_applied: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    stages: Stages | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """Model files in use: size letter, names without a folder, SHA-256 in hex by name."""

    size: str | None = None
    file_640: str | None = None
    file_320: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)


class Detector(Protocol):
    """What `orion_worker.run` needs of a detector.

    Optional are:

    * `name: str`, the worker's in its `ready` message; default: the class's name in snake case,
      `MyDetector` gives `my_detector`;
    * `result_type: str`, the type of its results and the last level of their MQTT topic; default: the
      name without `_detector` or `_worker` and with `_detection`, `my_detection`;
    * `load(self) -> Models | None`, called once before `ready` is sent: get ready for the first frame,
      warm-up included; raising says that the worker cannot start;
    * `describe(self) -> Mapping[str, Any]`, settings and counters for the command `describe`, of
      values that JSON knows;
    * the methods of `Staged`, which then take the place of `infer`, of `Reducible` and `Batched` beside
      them, and of `Tunable`.

    All are called on the main thread, except for those of `Reducible` and `Staged.prepare`.
    """

    def infer(self, image: Image, attention: Attention) -> Inference | Sequence[Detection]:
        """Find objects in one frame.

        The image may lie in memory that is read-only and gets the next picture after this one is answered:
        copy what is to be changed or kept.

        Any exception is answered with `inference_failed` for this frame, and the next one comes.
        """
        ...


@runtime_checkable
class Staged(Protocol):
    """A detector whose preparation of the next frame may run while the current one is inferred."""

    def prepare(self, image: Image, attention: Attention) -> Any:
        """What can be done without the result of an earlier frame: crop, scale, lay out.

        Called on another thread than everything else, while `finish` works on the frame before. It
        must not use what `finish` or `tune` changes: a command sent before this frame may not have
        been carried out yet.
        """
        ...

    def finish(self, prepared: Any) -> Inference | Sequence[Detection]:
        """Find objects in what `prepare` returned; called in the order of the frames.

        `Stages.preprocess_ms` of the result is the time that `prepare` took.
        """
        ...


@runtime_checkable
class Reducible(Protocol):
    """A `Staged` detector that is content with less than every pixel: a JPEG then takes a third of the time.

    Its `prepare_picture` takes the place of `prepare`.
    """

    def reduction(self, size: tuple[int, int], attention: Attention) -> int:
        """How much smaller a JPEG of `size` (width, height) px may be decoded: 1, 2, 4 or 8."""
        ...

    def prepare_picture(self, picture: Picture, attention: Attention) -> Any:
        """As `Staged.prepare`; what `finish` finds is in pixels of the whole frame all the same."""
        ...


@runtime_checkable
class Batched(Protocol):
    """A `Staged` detector that can finish frames of several cameras in one run.

    Optional is `batch_wait_ms: float`, how long the first of them may wait for the others, up to 1000;
    without it only those that are there already are taken together.
    """

    @property
    def max_batch(self) -> int:
        """How many frames at most; asked once, after `load`. 1: they come one by one, to `finish`."""
        ...

    def batch_key(self, prepared: Any) -> Hashable:
        """Frames for which this is equal can be finished together."""
        ...

    def finish_batch(self, prepared: Sequence[Any]) -> Sequence[Inference | Sequence[Detection] | Exception]:
        """As `Staged.finish` for each of them, in their order; an exception is one frame's own failure.

        If this raises, `finish` is called for each one instead.
        """
        ...


@runtime_checkable
class Tunable(Protocol):
    """A detector whose settings can be changed between two frames; in force from the next one on."""

    def tune(self, setting: str, value: Any) -> Any:
        """Change `confidence`, `iou_threshold` or `labels` and return the value now in force.

        Raises:
            CommandError: the detector has no such setting or the value is wrong; nothing changed.
        """
        ...
