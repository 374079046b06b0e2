# SPDX-License-Identifier: MPL-2.0
"""A detector as the worker's loop sees it: what the detector leaves out is filled in."""

import contextlib
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from orion_worker.detector import (
    Attention,
    Batched,
    Detection,
    Inference,
    Models,
    Picture,
    Reducible,
    Staged,
    Tunable,
)
from orion_worker.errors import WorkerError
from orion_worker.log import log
from orion_worker.settings import MAX_BATCH_WAIT_MS

# It becomes a level of an MQTT topic.
_RESULT_TYPE = re.compile(r"[a-z0-9_]+")
RESERVED = ("frame", "command", "ready", "ack", "error", "gap", "buffer")
"""Types of other messages, of the protocol and of the topics of results; none can be the type of a result."""

_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def default_names(class_name: str) -> tuple[str, str]:
    """Name and result type of a detector that gives none.

    `MyDetector` gives `my_detector` and `my_detection`, `DarkRoom` gives `dark_room` and
    `dark_room_detection`.
    """
    name = _WORD_STARTS.sub("_", class_name).lower().strip("_")
    stem = re.sub(r"(^|_)(detector|worker)$", "", name)
    return name, f"{stem}_detection" if stem else "detection"


class Adapter:
    """A detector with its optional members filled in.

    Raises:
        WorkerError: it cannot detect, or its result type is not usable; the text says why.
    """

    def __init__(self, detector: Any):
        self._detector = detector
        self._staged = detector if isinstance(detector, Staged) else None
        self.reducible = detector if self._staged and isinstance(detector, Reducible) else None
        """The detector, if it takes pictures that are smaller than the frame."""
        self._batched = detector if self._staged and isinstance(detector, Batched) else None
        class_name = type(detector).__name__
        if self._staged is None and not callable(getattr(detector, "infer", None)):
            raise WorkerError(f"{class_name} has no method infer(self, image, attention)")
        name, result_type = default_names(class_name)
        self.name: str = getattr(detector, "name", name)
        self.result_type: str = getattr(detector, "result_type", result_type)
        for member, text in (("name", self.name), ("result type", self.result_type)):
            if not isinstance(text, str) or not text:
                raise WorkerError(f"{class_name}: {member} {text!r} is no text")
        if not _RESULT_TYPE.fullmatch(self.result_type):
            raise WorkerError(f"result type {self.result_type!r}: only a to z, 0 to 9 and _ may be in it")
        if self.result_type in RESERVED:
            raise WorkerError(f"result type {self.result_type!r} is the type of another message")

    @property
    def tunable(self) -> Tunable | None:
        """The detector, if its settings can be changed."""
        return self._detector if isinstance(self._detector, Tunable) else None

    def load(self) -> Models:
        """Get ready; the files in use."""
        load = getattr(self._detector, "load", None)
        models = load() if load else None
        if models is None:
            return Models()
        if not isinstance(models, Models):
            raise WorkerError(f"load returned {_kind(models)}, expected None or orion_worker.Models")
        return models

    def batching(self) -> tuple[int, float]:
        """How many frames the detector takes at once, and how long it waits for so many, ms.

        Raises:
            WorkerError: it gives no such numbers.
        """
        most = getattr(self._batched, "max_batch", 1)
        wait = getattr(self._batched, "batch_wait_ms", 0.0)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise WorkerError(f"max_batch is {most!r}, expected a whole number from 1")
        if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= MAX_BATCH_WAIT_MS:
            raise WorkerError(f"batch_wait_ms is {wait!r}, expected a number from 0 to {MAX_BATCH_WAIT_MS}")
        return most, float(wait)

    def batch_key(self, prepared: Any) -> Hashable:
        """Frames for which this is equal can be finished together; who fails here gets them one by one."""
        try:
            return self._batched.batch_key(prepared) if self._batched else None
        except Exception as error:
            log.debug("batch_key", exc_info=error)
            return object()

    def finish_batch(self, prepared: Sequence[Any]) -> list[Inference | Exception]:
        """What `finish` returns or raises for each of them.

        Raises:
            TypeError: the detector returned something else, or not one for each.
        """
        if self._batched is None:
            raise TypeError("the detector takes one frame at a time")
        found = self._batched.finish_batch(prepared)
        if not isinstance(found, list | tuple) or len(found) != len(prepared):
            raise TypeError(f"finish_batch returned {_kind(found)}, expected a list of {len(prepared)}")
        return [one if isinstance(one, Exception) else _inference(one, "finish_batch") for one in found]

    def describe(self) -> Mapping[str, Any]:
        """What the detector tells about itself, or nothing."""
        describe = getattr(self._detector, "describe", None)
        return describe() if describe else {}

    @property
    def threads(self) -> int:
        """With how many threads the detector computes, as `describe` tells; 0 if it does not."""
        # A description that fails costs the command that asks for it, not the worker.
        with contextlib.suppress(Exception):
            told = self.describe().get("threads")
            if isinstance(told, int) and 0 < told < 1 << 32:
                return told
        return 0

    def prepare(self, picture: Picture, attention: Attention) -> Any:
        """The part of the work that another thread may do; without such a part, what `infer` takes."""
        if self.reducible is not None:
            return self.reducible.prepare_picture(picture, attention)
        if self._staged is not None:
            return self._staged.prepare(picture.image, attention)
        return picture.image, attention

    def finish(self, prepared: Any) -> Inference:
        """The detections in what `prepare` returned.

        Raises:
            TypeError: the detector returned something else.
        """
        if self._staged is None:
            found, method = self._detector.infer(*prepared), "infer"
        else:
            found, method = self._staged.finish(prepared), "finish"
        return _inference(found, method)


def _inference(found: Any, method: str) -> Inference:
    if isinstance(found, Inference):
        return found
    if isinstance(found, list | tuple) and all(isinstance(item, Detection) for item in found):
        return Inference(found)
    expected = "orion_worker.Inference or a list of orion_worker.Detection"
    raise TypeError(f"{method} returned {_kind(found)}, expected {expected}")


def _kind(value: Any) -> str:
    if isinstance(value, list | tuple):
        wrong = [type(item).__name__ for item in value if not isinstance(item, Detection)]
        return f"a {type(value).__name__} of {', '.join(dict.fromkeys(wrong))}"
    return type(value).__name__
