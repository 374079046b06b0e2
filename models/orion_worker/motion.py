# SPDX-License-Identifier: MPL-2.0
"""The motion detector: background subtraction, no model file."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from orion_worker import settings
from orion_worker.detector import Attention, Detection, Image, Inference, Models, Picture, Stages
from orion_worker.errors import CommandError
from orion_worker.geometry import PixelRect, clip, pixel_region
from orion_worker.images import reduction_for
from orion_worker.options import Options
from orion_worker.settings import thread_count

LABEL = "motion"

MAX_SIDE = 320
"""Longer side in px at which motion is looked for; noise averages out and little time is spent."""

LEARNING_FRAMES = 5
"""Frames of a size that only teach the background."""

MIN_AREA = 0.0005
"""Smallest moving area reported, as a fraction of the frame (e.g. 12 by 12 px of 640 by 480)."""

# MOG2: 200 frames of memory; a pixel moves when it is 5 standard deviations away (squared here), and
# the noise of a camera is taken for at least 3 grey levels.
_HISTORY, _VARIANCE_THRESHOLD, _LEAST_VARIANCE = 200, 25.0, 9.0

# Below this median there is too little light to measure the exposure by.
_DARK = 16


@dataclass(frozen=True, slots=True)
class Small:
    """A frame scaled down: the picture, the median of each channel, size of the frame, region reported."""

    picture: Image
    level: NDArray[np.float64]
    frame_size: tuple[int, int]
    region: PixelRect
    prepare_ms: float


class MotionDetector:
    """Reports where the picture differs from the background that it has learnt (MOG2 of OpenCV).

    A detection's confidence is 1 - exp(-area / smallest area reported): about 0.63 for the smallest
    one, near 1 for a person. The background needs an unchanging geometry, so a region of attention
    limits what is reported and nothing else.
    """

    name: ClassVar[str] = "motion_detector"
    result_type: ClassVar[str] = "motion_detection"

    def __init__(self, options: Options):
        self._confidence = options.confidence
        self._threads = options.threads
        self._background: cv2.BackgroundSubtractorMOG2 | None = None
        self._frame_size: tuple[int, int] | None = None
        self._level = np.zeros(3)
        self._learnt = 0
        self._frames = 0

    def load(self) -> Models:
        """Nothing to load: the background is learnt from the first frames."""
        cv2.setNumThreads(thread_count(self._threads))
        return Models()

    def infer(self, image: Image, attention: Attention) -> Inference:
        """Compare the frame with the background and add it to what is known of the background."""
        return self.finish(self.prepare(image, attention))

    def prepare(self, image: Image, attention: Attention) -> Small:
        """Scale the frame down and measure its exposure."""
        return self.prepare_picture(Picture(image, (image.shape[1], image.shape[0])), attention)

    def reduction(self, size: tuple[int, int], attention: Attention) -> int:
        """How much smaller a JPEG may be decoded without being smaller than what motion is looked for in."""
        return reduction_for(size, _small(size))

    def prepare_picture(self, picture: Picture, attention: Attention) -> Small:
        """As `prepare`, also of a picture that is smaller than its frame."""
        start = time.perf_counter()
        small = _shrink(picture.image, _small(picture.size))
        level = _level(small)
        whole = PixelRect(0, 0, *picture.size)
        region = pixel_region(attention.region, *picture.size) if attention.region else whole
        return Small(small, level, picture.size, region, 1e3 * (time.perf_counter() - start))

    def finish(self, prepared: Small) -> Inference:
        """Compare a frame with the background and add it to what is known of the background."""
        start = time.perf_counter()
        mask = self._moving(prepared)
        done = time.perf_counter()
        boxes = self._boxes(mask, prepared.frame_size, prepared.region)
        self._frames += 1
        end = time.perf_counter()
        height, width = prepared.picture.shape[:2]
        return Inference(
            boxes,
            metadata={
                "model_selected": None,
                "model_size": None,
                "model_file": None,
                "input_size": [width, height],
                "detector": "motion",
            },
            stages=Stages(prepared.prepare_ms, 1e3 * (done - start), 1e3 * (end - done)),
        )

    def tune(self, setting: str, value: Any) -> Any:
        """Change `confidence`.

        Raises:
            CommandError: no such setting, or the value is wrong; nothing changed.
        """
        if setting != "confidence":
            raise CommandError(f"{self.name} has no setting {setting!r}")
        try:
            self._confidence = settings.fraction(value)
        except ValueError as error:
            raise CommandError(str(error)) from error
        return self._confidence

    def describe(self) -> Mapping[str, Any]:
        """Threshold, frames seen, whether the background is still being learnt, threads."""
        return {
            "models": {"size": None, "file_640": None, "file_320": None, "sha256": {}},
            "detector": "motion",
            "confidence": self._confidence,
            "labels": [LABEL],
            "frames_by_model": {"motion": self._frames},
            "learning": self._learnt < LEARNING_FRAMES,
            "threads": thread_count(self._threads),
        }

    def _moving(self, small: Small) -> Image:
        if self._background is None or self._frame_size != small.frame_size:
            self._background = cv2.createBackgroundSubtractorMOG2(_HISTORY, _VARIANCE_THRESHOLD, True)
            self._background.setVarMin(_LEAST_VARIANCE)
            self._background.setShadowValue(0)
            self._frame_size, self._learnt = small.frame_size, 0
            self._level = small.level
        mask = self._background.apply(self._same_exposure(small))
        if self._learnt < LEARNING_FRAMES:
            self._learnt += 1
            return np.zeros_like(mask)
        # Opening removes single pixels.
        return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)

    def _same_exposure(self, small: Small) -> Image:
        # A camera that adjusts exposure or white balance changes every pixel by the same factor.
        # The median of each channel shows it, and takes little notice of an object.
        if (np.minimum(small.level, self._level) < _DARK).any():
            return small.picture
        gain = (self._level / small.level).astype(np.float32)
        return np.minimum(small.picture * gain, 255.0).astype(np.uint8)

    def _boxes(self, mask: Image, frame_size: tuple[int, int], region: PixelRect) -> list[Detection]:
        scale = np.array([frame_size[0] / mask.shape[1], frame_size[1] / mask.shape[0]] * 2)
        smallest = MIN_AREA * mask.size
        # Dilation joins the parts of one object; what is measured is the mask itself.
        joined = cv2.dilate(mask, np.ones((9, 9), np.uint8))
        contours, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        found = []
        for contour in contours:
            at_x, at_y, width, height = cv2.boundingRect(contour)
            part = mask[at_y : at_y + height, at_x : at_x + width]
            area = cv2.countNonZero(part)
            confidence = 1 - math.exp(-area / smallest)
            if area < smallest or confidence < self._confidence:
                continue
            x, y, width, height = cv2.boundingRect(part)
            box = np.array([[at_x + x, at_y + y, at_x + x + width, at_y + y + height]]) * scale
            left, top, right, bottom = (float(edge) for edge in clip(box, region)[0])
            if right > left and bottom > top:
                found.append(Detection(left, top, right - left, bottom - top, confidence, LABEL, 0))
        return found


def _small(size: tuple[int, int]) -> tuple[int, int]:
    ratio = min(1.0, MAX_SIDE / max(size))
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def _shrink(image: Image, size: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.GaussianBlur(image, (5, 5), 0), np.uint8)


def _level(image: Image) -> NDArray[np.float64]:
    return np.median(image.reshape(-1, 3), axis=0)
