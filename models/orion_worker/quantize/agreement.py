# SPDX-License-Identifier: MPL-2.0
"""How far the detections of two networks on the same frames agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orion_worker.candidates import Candidates

LEAST_IOU = 0.5
"""Intersection over union from which two boxes are the same object."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Boxes of the original found again, lost, and boxes that only the other one has.

    `iou` is the mean of those found again, `confidence` the mean change of theirs.
    """

    again: int
    lost: int
    new: int
    iou: float
    confidence: float

    @property
    def share(self) -> float:
        """2 again / (2 again + lost + new): 1 when all agree, 0 when nothing does or nothing was found."""
        of = 2 * self.again + self.lost + self.new
        return 2 * self.again / of if of else 0.0


def compare(original: Sequence[Candidates], other: Sequence[Candidates]) -> Agreement:
    """Match boxes frame by frame, of the same class, the original's most confident ones first."""
    again = lost = new = 0
    ious, changes = [], []
    for wanted, given in zip(original, other, strict=True):
        free = np.ones(len(given.scores), bool)
        for at in np.argsort(-wanted.scores, kind="stable"):
            overlap = _iou(wanted.boxes[at], given.boxes)
            overlap[~free | (given.classes != wanted.classes[at])] = 0.0
            best = int(overlap.argmax()) if len(overlap) else 0
            if len(overlap) and overlap[best] >= LEAST_IOU:
                free[best] = False
                again += 1
                ious.append(float(overlap[best]))
                changes.append(float(given.scores[best] - wanted.scores[at]))
            else:
                lost += 1
        new += int(free.sum())
    return Agreement(again, lost, new, _mean(ious), _mean(changes))


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return shared / np.maximum(areas - shared, 1e-9)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
