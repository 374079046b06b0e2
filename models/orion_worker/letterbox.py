# SPDX-License-Identifier: MPL-2.0
"""Letterbox: scale a picture into the network's input without changing its proportions, and back."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from orion_worker.detector import Image
from orion_worker.geometry import Boxes
from orion_worker.images import reduction_for

GREY = 114
"""Value of the bars, as YOLOv5 and its successors and YOLOX were trained with."""

Anchor = Literal["centre", "top_left"]


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture lies in the network's input: all in pixels.

    Each axis has its own exact scale (`scaled / source`), because the scaled size is rounded to
    whole pixels; using one common ratio would shift boxes by up to half a pixel of the input.
    """

    source_width: int
    source_height: int
    input_width: int
    input_height: int
    scaled_width: int
    scaled_height: int
    left: int
    top: int

    @classmethod
    def fit(cls, source: tuple[int, int], target: tuple[int, int], anchor: Anchor) -> "Letterbox":
        """Fit a picture of `source` (width, height) into an input of `target` (width, height).

        `centre` puts the bars on both sides (Ultralytics), `top_left` only right and below (YOLOX).
        """
        ratio = min(target[0] / source[0], target[1] / source[1])
        scaled = [max(1, min(limit, round(size * ratio))) for size, limit in zip(source, target, strict=True)]
        spare = (target[0] - scaled[0], target[1] - scaled[1])
        left, top = (spare[0] // 2, spare[1] // 2) if anchor == "centre" else (0, 0)
        return cls(source[0], source[1], target[0], target[1], scaled[0], scaled[1], left, top)

    def scale(self, image: Image, memory: NDArray[np.uint8]) -> Image:
        """The picture at the size it has in the network's input, without bars.

        It is made in `memory`, which has room for the whole input; or it is the image itself if that
        has the size already.
        """
        if image.shape[:2] == (self.scaled_height, self.scaled_width):
            return image
        size = self.scaled_width * self.scaled_height * 3
        place = memory.reshape(-1)[:size].reshape(self.scaled_height, self.scaled_width, 3)
        wanted = (self.scaled_width, self.scaled_height)
        return np.asarray(cv2.resize(image, wanted, dst=place, interpolation=cv2.INTER_LINEAR), np.uint8)

    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the network's input that the picture takes; the rest is bars."""
        rows = slice(self.top, self.top + self.scaled_height)
        return rows, slice(self.left, self.left + self.scaled_width)

    def to_input(self, boxes: Boxes) -> Boxes:
        """Boxes of the picture in pixels of the network's input."""
        return boxes * self._scale() + self._offset()

    def to_source(self, boxes: Boxes) -> Boxes:
        """Boxes of the network's input in pixels of the picture; the exact inverse of `to_input`."""
        return (boxes - self._offset()) / self._scale()

    def reduction(self) -> int:
        """By how much smaller (1, 2, 4, 8) the picture may be decoded and still not have to be enlarged."""
        source = (self.source_width, self.source_height)
        return reduction_for(source, (self.scaled_width, self.scaled_height))

    def _scale(self) -> Boxes:
        x = self.scaled_width / self.source_width
        y = self.scaled_height / self.source_height
        return np.array([x, y, x, y])

    def _offset(self) -> Boxes:
        return np.array([self.left, self.top, self.left, self.top], dtype=np.float64)
