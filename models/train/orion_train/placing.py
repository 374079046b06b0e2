# SPDX-License-Identifier: MPL-2.0
"""Geometry of a training picture: where pictures go on the canvas, and what becomes of their boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]

MIN_VISIBLE = 0.3
"""Share of a person that must be left for it to count; less is neither a person nor nothing."""

MIN_HEIGHT, MIN_WIDTH = 5.0, 2.5
"""Smallest person that is taught, in px of the canvas; smaller ones are ignored."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture and the place it is scaled into; all in whole px, (x, y, width, height)."""

    source: tuple[int, int, int, int]
    target: tuple[int, int, int, int]
    flip: bool

    def map(self, boxes: Boxes) -> tuple[Boxes, NDArray[np.float32]]:
        """Boxes (n, 4) on the canvas, cut to the window, and the share of each (n,) that is left of it."""
        x, y, width, height = self.source
        left, top, new_width, new_height = self.target
        whole = np.maximum(_area(boxes), 1e-6)
        low, high = np.array([x, y] * 2), np.array([x + width, y + height] * 2)
        cut = np.clip(boxes, low, high)
        visible = _area(cut) / whole
        cut = (cut - low) * np.array([new_width / width, new_height / height] * 2)
        if self.flip:
            cut[:, [0, 2]] = new_width - cut[:, [2, 0]]
        return (cut + np.array([left, top] * 2)).astype(np.float32), visible.astype(np.float32)


def fit(
    rng: np.random.Generator,
    size: tuple[int, int],
    cell: tuple[int, int, int, int],
    scale: tuple[float, float],
    focus: tuple[float, float] | None,
) -> Window:
    """Place a picture of `size` (width, height) px, scaled by `scale`, into a cell of the canvas.

    Along each axis a picture that is smaller than the cell goes somewhere in it; of a larger one a
    piece is cut, which holds `focus` (px of the picture) if that is given.
    """
    spans = []
    for axis in (0, 1):
        start, room, length = cell[axis], cell[axis + 2], size[axis]
        wanted = room / scale[axis]
        if wanted >= length:
            new = max(1, min(room, round(length * scale[axis])))
            spans.append((0, length, start + int(rng.integers(room - new + 1)), new))
            continue
        part = max(1, min(length, round(wanted)))
        low, high = 0, length - part
        if focus is not None:
            low = min(max(low, int(focus[axis] - 0.85 * part)), length - part)
            high = max(low, min(high, int(focus[axis] - 0.15 * part)))
        spans.append((int(rng.integers(low, high + 1)), part, start, room))
    source = (spans[0][0], spans[1][0], spans[0][1], spans[1][1])
    target = (spans[0][2], spans[1][2], spans[0][3], spans[1][3])
    return Window(source, target, bool(rng.random() < 0.5))


def cells_of(rng: np.random.Generator, side: int, count: int) -> list[tuple[int, int, int, int]]:
    """Divide a square canvas into `count` by `count` cells (x, y, width, height) of unequal sizes."""
    cuts = []
    for _ in range(2):
        inner = (np.arange(1, count) + rng.uniform(-0.25, 0.25, count - 1)) * side / count
        cuts.append([0, *np.round(inner).astype(int).tolist(), side])
    xs, ys = cuts
    return [(xs[i], ys[j], xs[i + 1] - xs[i], ys[j + 1] - ys[j]) for j in range(count) for i in range(count)]


def sort_out(boxes: Boxes, visible: NDArray[np.float32]) -> tuple[Boxes, Boxes]:
    """Persons to teach and persons to ignore: those cut too far or too small, where any is left."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    there = (width > 0) & (height > 0)
    good = there & (visible >= MIN_VISIBLE) & (height >= MIN_HEIGHT) & (width >= MIN_WIDTH)
    return boxes[good], boxes[there & ~good]


def _area(boxes: Boxes) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
