# SPDX-License-Identifier: MPL-2.0
"""Candidate boxes out of a network: those of a wanted class that are confident enough."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orion_worker.errors import MessageError
from orion_worker.geometry import Boxes


@dataclass(frozen=True, slots=True)
class Candidates:
    """`boxes` (n, 4) corners in px, `scores` (n,) in 0..1, `classes` (n,) class numbers."""

    boxes: Boxes
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    def keep(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Candidates":
        """The candidates that an index array or a mask picks."""
        return Candidates(self.boxes[index], self.scores[index], self.classes[index])


def confident(scores: NDArray[np.floating], threshold: float) -> NDArray[np.intp]:
    """Indices of the columns of `scores` (wanted classes, n) where one reaches the threshold.

    Raises:
        MessageError: `inference_failed` when a wanted score is not finite; "nothing found" would
            then be a guess.
    """
    best = scores.max(axis=0)
    if not np.isfinite(best).all():
        raise MessageError("inference_failed", "the model's scores are not finite numbers")
    return np.flatnonzero(best >= threshold)


def classify(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], wanted: NDArray[np.int64]
) -> Candidates:
    """Give each box its best class and keep those whose best class is wanted.

    Args:
        boxes: (n, 4) centre x, centre y, width, height in px of the network's input.
        scores: (classes, n).
        wanted: class numbers.
    """
    if not np.isfinite(boxes).all():
        raise MessageError("inference_failed", "the model's boxes are not finite numbers")
    classes = scores.argmax(axis=0)
    best = np.minimum(scores.max(axis=0, initial=0.0), 1.0)
    centre, half = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    found = Candidates(corners, best.astype(np.float64), classes)
    return found.keep(np.isin(classes, wanted))
