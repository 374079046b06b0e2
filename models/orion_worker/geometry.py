# SPDX-License-Identifier: MPL-2.0
"""Rectangles: regions in whole pixels, clipping, and the region suggested for the next frame."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orion_worker.detector import NormRect

Boxes = NDArray[np.float64]
"""Boxes are (n, 4): left, top, right, bottom."""

MIN_REGION = 2
"""Smallest side of a region in pixels; below that nothing can be scaled sensibly."""

SUGGESTED_MARGIN = 0.15
"""How much larger than its content a suggested region is, in total, half of it on each side."""

_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class PixelRect:
    """A region in whole pixels: top-left corner and size."""

    x: int
    y: int
    width: int
    height: int


def problem_of(rect: NormRect) -> str | None:
    """What is wrong with a region in 0..1, or None.

    Sums may exceed 1 by a millionth, which is what rounding on the way here amounts to.
    """
    values = {"x": rect.x, "y": rect.y, "width": rect.width, "height": rect.height}
    for name, value in values.items():
        if not math.isfinite(value):
            return f"{name} is not a finite number"
    for name in ("x", "y"):
        if not 0 <= values[name] <= 1:
            return f"{name} {values[name]} is not between 0 and 1"
    for name in ("width", "height"):
        if values[name] <= 0:
            return f"{name} {values[name]} is not above 0"
    if rect.x + rect.width > 1 + _TOLERANCE:
        return f"x + width {rect.x + rect.width} is above 1"
    if rect.y + rect.height > 1 + _TOLERANCE:
        return f"y + height {rect.y + rect.height} is above 1"
    return None


def pixel_region(rect: NormRect, width: int, height: int) -> PixelRect:
    """The region of a frame of `width` by `height` px, rounded outward to whole pixels.

    It has at least `MIN_REGION` px a side where the frame has that many, and lies in the frame.
    """
    x, right = _span(rect.x, rect.width, width)
    y, bottom = _span(rect.y, rect.height, height)
    return PixelRect(x, y, right - x, bottom - y)


def clip(boxes: Boxes, region: PixelRect) -> Boxes:
    """Boxes cut to a region; those outside become empty (width or height 0)."""
    low = np.array([region.x, region.y] * 2, dtype=np.float64)
    high = low + np.array([region.width, region.height] * 2, dtype=np.float64)
    return np.clip(boxes, low, high)


def suggested_region(boxes: Boxes, width: int, height: int) -> NormRect | None:
    """The region to look at next: union of the boxes (px), enlarged by `SUGGESTED_MARGIN`, in 0..1.

    None without a box. Source: Orion's attention rule 5 (union plus 15 % of its size, half per side).
    """
    if len(boxes) == 0:
        return None
    low = boxes[:, :2].min(axis=0) / (width, height)
    high = boxes[:, 2:].max(axis=0) / (width, height)
    margin = (high - low) * (SUGGESTED_MARGIN / 2)
    left, top = np.clip(low - margin, 0.0, 1.0)
    right, bottom = np.clip(high + margin, 0.0, 1.0)
    return NormRect(float(left), float(top), float(right - left), float(bottom - top))


def _span(start: float, size: float, length: int) -> tuple[int, int]:
    low = max(0, math.floor(start * length + _TOLERANCE))
    high = min(length, math.ceil((start + size) * length - _TOLERANCE))
    if high - low < MIN_REGION:
        low = max(0, min(low, length - MIN_REGION))
        high = min(length, low + MIN_REGION)
    return low, high
