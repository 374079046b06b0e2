# SPDX-License-Identifier: MPL-2.0
"""The cells that the network looks at, and how four raw numbers of a cell become a box.

A cell of stride s at column i and row j stands for the point ((i + 1/2) s, (j + 1/2) s). Its raw sides
r are turned into distances softplus(r) s = log(1 + e^r) s in px from that point to the left, top,
right and bottom of the box (FCOS, Tian et al. 2019, with softplus for the exponential).
"""

import numpy as np
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
"""Pixels of the input per cell, finest first."""

Floats = NDArray[np.float32]


def cells(width: int, height: int) -> tuple[Floats, Floats]:
    """Points (n, 2) in px and strides (n,) of an input's cells, level by level and row by row.

    Raises:
        ValueError: a side is no multiple of the coarsest stride.
    """
    if width % STRIDES[-1] or height % STRIDES[-1]:
        raise ValueError(f"input of {width}x{height} px; sides must be multiples of {STRIDES[-1]}")
    points, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        level = np.stack([columns, rows], axis=-1).reshape(-1, 2)
        points.append((level + 0.5) * stride)
        strides.append(np.full(len(level), stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode(raw: Floats, points: Floats, strides: Floats) -> Floats:
    """Boxes (..., n, 4) as corners in px from raw sides (..., n, 4)."""
    sides = np.logaddexp(0, raw) * strides[:, None]
    return np.concatenate([points - sides[..., :2], points + sides[..., 2:]], axis=-1)


def encode(boxes: Floats, points: Floats, strides: Floats) -> Floats:
    """Raw sides of boxes that hold their points; the inverse of `decode`."""
    sides = np.concatenate([points - boxes[..., :2], boxes[..., 2:] - points], axis=-1) / strides[:, None]
    return np.log(np.expm1(sides))
