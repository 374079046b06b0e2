# SPDX-License-Identifier: MPL-2.0
"""Raw output of YOLOX: one row per grid cell, relative to the cell."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orion_worker.candidates import Candidates, classify, confident
from orion_worker.letterbox import Anchor
from orion_worker.tensor import Layout

STRIDES = (8, 16, 32)


def cell_count(width: int, height: int) -> int:
    """Number of grid cells over all strides for a network input of `width` by `height` px."""
    return sum((width // stride) * (height // stride) for stride in STRIDES)


def cells(width: int, height: int) -> NDArray[np.float32]:
    """Cells in output order, (n, 3): column, row and stride in px."""
    grids = []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        strides = np.full(rows.size, stride)
        grids.append(np.stack([columns.ravel(), rows.ravel(), strides], axis=1))
    return np.concatenate(grids).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Yolox:
    """Decoder of `(1, n, 5 + classes)`: x, y, log width, log height, objectness, class scores.

    Centre = (cell + value) * stride, size = exp(value) * stride, confidence = objectness * class
    score. Source: YOLOX, arXiv 2107.08430, and the published ONNX models, whose input is blue,
    green, red in 0..255 with bars right and below.
    """

    class_count: int
    grid: NDArray[np.float32]
    name: ClassVar[str] = "yolox"
    layout: ClassVar[Layout] = Layout((0, 1, 2), 1.0)
    anchor: ClassVar[Anchor] = "top_left"

    def decode(self, output: NDArray[np.float32], wanted: NDArray[np.int64], threshold: float) -> Candidates:
        """Candidates of the wanted classes in px of the network's input."""
        rows = output[0]
        # Of nearly all rows only the wanted classes are ever needed.
        index = confident((rows[:, 5 + wanted] * rows[:, 4:5]).T, threshold)
        picked, cell = rows[index], self.grid[index]
        scores = (picked[:, 5:] * picked[:, 4:5]).T
        stride = cell[:, 2:]
        centre = (picked[:, :2] + cell[:, :2]) * stride
        with np.errstate(over="ignore"):  # an overflow is reported as a box that is not finite
            size = np.exp(picked[:, 2:4]) * stride
        return classify(np.concatenate([centre, size], axis=1), scores, wanted)
