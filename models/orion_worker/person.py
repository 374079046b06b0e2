# SPDX-License-Identifier: MPL-2.0
"""The person detector: a 640 and a 320 network, regions of attention, tunable thresholds."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from orion_worker import models, settings
from orion_worker.candidates import Candidates
from orion_worker.detector import Attention, Detection, Image, Inference, Models, Picture, Stages
from orion_worker.errors import CommandError, ModelError
from orion_worker.geometry import PixelRect, clip, pixel_region
from orion_worker.images import reduced
from orion_worker.labels import class_names, label_ids
from orion_worker.log import log
from orion_worker.network import Network, NetworkInput
from orion_worker.nms import suppress
from orion_worker.options import Options
from orion_worker.session import provider_name
from orion_worker.settings import thread_count


@dataclass(frozen=True, slots=True)
class View:
    """What one network is shown of a frame: target size, region in px, whether that is only a part.

    The network's picture begins at `origin` (x, y), px of the frame, and its pixels are `reduction`
    times as large as the frame's.
    """

    side: int
    region: PixelRect
    is_crop: bool
    origin: tuple[int, int]
    reduction: int
    input: NetworkInput


class PersonDetector:
    """Finds persons, or other classes of the model, with one or two ONNX models."""

    name: ClassVar[str] = "person_detector"
    result_type: ClassVar[str] = "person_detection"

    def __init__(self, options: Options):
        self._options = options
        self._confidence = options.confidence
        self._iou_threshold = options.iou_threshold
        self._labels = list(options.labels)
        self._wanted: NDArray[np.int64] = np.empty(0, np.int64)
        self._names: list[str] = []
        self._networks: dict[int, Network] = {}
        self._frames: dict[int, int] = {}
        self._models = Models()
        self._wanted_batch = options.wanted_batch()
        self.batch_wait_ms = options.batch_wait

    def load(self) -> Models:
        """Find, load and warm up the models.

        Raises:
            WorkerError: a file, the execution provider or a label is not usable.
        """
        options = self._options
        provider_name(options.execution_provider)  # before anything slow
        files = self._files()
        cv2.setNumThreads(thread_count(options.threads))
        for side, file in ((640, files.file_640), (320, files.file_320)):
            if file is not None:
                arguments = (options.detector, options.execution_provider, options.threads, side)
                self._networks[side] = Network.open(file, *arguments, self._wanted_batch)
                self._frames[side] = 0
                log.info("loaded %s for target size %d", file, side)
                log.debug("model cache of %s: %s", file.name, self._networks[side].session.cache)
        self._names = self._class_names()
        try:
            self._wanted = label_ids(self._labels, self._names)
        except ValueError as error:
            raise ModelError(f"labels: {error}") from error
        loaded = [network.session for network in self._networks.values()]
        hashes = {session.file.name: session.sha256 for session in loaded}
        small = files.file_320.name if files.file_320 else None
        self._models = Models(files.size, files.file_640.name, small, hashes)
        return self._models

    def infer(self, image: Image, attention: Attention) -> Inference:
        """Crop to the region, run the network for the target size, map boxes back, clip, suppress."""
        return self.finish(self.prepare(image, attention))

    def prepare(self, image: Image, attention: Attention) -> View:
        """The region of the frame as the input of the network for the target size."""
        return self.prepare_picture(Picture(image, (image.shape[1], image.shape[0])), attention)

    def reduction(self, size: tuple[int, int], attention: Attention) -> int:
        """How much smaller a JPEG may be decoded without being enlarged for the network afterwards."""
        region = _region(size, attention)
        return self._networks[self._side(attention)].letterbox((region.width, region.height)).reduction()

    def prepare_picture(self, picture: Picture, attention: Attention) -> View:
        """As `prepare`, also of a picture that is smaller than its frame."""
        side, factor = self._side(attention), picture.reduction
        region = _region(picture.size, attention)
        # Rounded outward to whole pixels of the smaller picture; boxes are cut to the region itself.
        left, top = region.x // factor, region.y // factor
        right, bottom = reduced(region.x + region.width, factor), reduced(region.y + region.height, factor)
        given = self._networks[side].prepare(picture.image[top:bottom, left:right])
        is_crop = (region.width, region.height) != picture.size
        return View(side, region, is_crop, (left * factor, top * factor), factor, given)

    def finish(self, prepared: View) -> Inference:
        """Run the network on a view, map boxes back, clip, suppress."""
        network = self._networks[prepared.side]
        return self._inference(prepared, *network.detect(prepared.input, self._wanted, self._confidence))

    @property
    def max_batch(self) -> int:
        """How many views the models run at once."""
        return min((network.max_batch for network in self._networks.values()), default=1)

    def batch_key(self, prepared: View) -> int:
        """Views for one network."""
        return prepared.side

    def finish_batch(self, prepared: Sequence[View]) -> list[Inference | Exception]:
        """As `finish` for each of them, with one run of the network that they are for."""
        network = self._networks[prepared[0].side]
        given = [view.input for view in prepared]
        found = network.detect_batch(given, self._wanted, self._confidence)
        answers: list[Inference | Exception] = []
        for view, one in zip(prepared, found, strict=True):
            try:
                answers.append(one if isinstance(one, Exception) else self._inference(view, *one))
            except Exception as error:  # as in `finish`
                answers.append(error)
        return answers

    def _inference(self, prepared: View, found: Candidates, stages: Stages) -> Inference:
        side, region = prepared.side, prepared.region
        network = self._networks[side]
        start = time.perf_counter()
        offset = np.array(prepared.origin * 2, dtype=np.float64)
        boxes = clip(found.boxes * prepared.reduction + offset, region)
        found = suppress(Candidates(boxes, found.scores, found.classes), self._iou_threshold)
        detections = [
            self._detection(*item) for item in zip(found.boxes, found.scores, found.classes, strict=True)
        ]
        spent = stages.postprocess_ms + 1e3 * (time.perf_counter() - start)
        self._frames[side] += 1
        return Inference(
            detections,
            crop_applied=prepared.is_crop,
            metadata={
                "model_selected": str(side),
                "model_size": self._models.size,
                "model_file": network.session.file.name,
                "input_size": list(network.session.input_size),
                "detector": network.head.name,
            },
            stages=Stages(stages.preprocess_ms, stages.inference_ms, spent),
        )

    def tune(self, setting: str, value: Any) -> Any:
        """Change `confidence`, `iou_threshold` or `labels`.

        Raises:
            CommandError: no such setting, or the value is wrong; nothing changed.
        """
        try:
            if setting == "confidence":
                self._confidence = settings.fraction(value)
                return self._confidence
            if setting == "iou_threshold":
                self._iou_threshold = settings.fraction(value)
                return self._iou_threshold
            if setting == "labels":
                names = settings.labels(value)
                self._wanted = label_ids(names, self._names)
                self._labels = names
                return names
        except ValueError as error:
            raise CommandError(str(error)) from error
        raise CommandError(f"{self.name} has no setting {setting!r}")

    def describe(self) -> Mapping[str, Any]:
        """Models, thresholds, labels, frames per model, threads."""
        large = self._networks[640]
        return {
            "models": {
                "size": self._models.size,
                "file_640": self._models.file_640,
                "file_320": self._models.file_320,
                "sha256": dict(self._models.sha256),
            },
            "detector": large.head.name,
            "input_sizes": {str(side): list(net.session.input_size) for side, net in self._networks.items()},
            "confidence": self._confidence,
            "iou_threshold": self._iou_threshold,
            "labels": list(self._labels),
            "frames_by_model": {str(side): count for side, count in self._frames.items()},
            "threads": thread_count(self._options.threads),
            "model_cache": {str(side): net.session.cache for side, net in self._networks.items()},
            "execution_provider": self._options.execution_provider,
            "max_batch": self.max_batch,
            "batch_wait_ms": self.batch_wait_ms,
        }

    def _side(self, attention: Attention) -> int:
        return attention.target_size if attention.target_size in self._networks else 640

    def _files(self) -> models.ModelFiles:
        options = self._options
        if options.model is None:
            return models.find(options.model_dir, options.model_size)
        size = models.size_of(options.model.name) or options.model_size
        return models.ModelFiles(size, options.model, options.model_320)

    def _class_names(self) -> list[str]:
        large = self._networks[640]
        small = self._networks.get(320, large)
        if (small.head.name, small.head.class_count) != (large.head.name, large.head.class_count):
            shapes = [
                f"{net.session.file.name} ({net.head.name}, {net.head.class_count} classes)"
                for net in (large, small)
            ]
            raise ModelError(f"the two models are no pair: {' and '.join(shapes)}")
        try:
            return class_names(large.session.names, large.head.class_count)
        except ValueError as error:
            raise ModelError(f"model {large.session.file}: {error}") from error

    def _detection(self, box: NDArray[np.float64], score: float, number: int) -> Detection:
        left, top, right, bottom = (float(edge) for edge in box)
        size = (right - left, bottom - top)
        return Detection(left, top, *size, float(score), self._names[int(number)], int(number))


def _region(size: tuple[int, int], attention: Attention) -> PixelRect:
    return pixel_region(attention.region, *size) if attention.region else PixelRect(0, 0, *size)
