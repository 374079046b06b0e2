# SPDX-License-Identifier: MPL-2.0
"""How good detections are: average precision, precision and recall, presence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MATCH = 0.5
"""IoU from which a box counts as the person's."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture: boxes (n, 4) as corners in px.

    `found` (n, 4) with `scores` (n,) come from a model, `persons` (m, 4) are there, and in `ignore`
    (k, 4) nobody knows.
    """

    found: Floats
    scores: Floats
    persons: Floats
    ignore: Floats


@dataclass(frozen=True, slots=True)
class Hits:
    """Detections of all pictures that count, most confident first, and how many persons there are."""

    scores: Floats
    right: NDArray[np.bool_]
    persons: int

    def average_precision(self) -> float:
        """Area under precision over recall, precision made monotonous (PASCAL VOC 2010, all points)."""
        if self.persons == 0:
            return float("nan")
        right = np.cumsum(self.right)
        recall = right / self.persons
        precision = right / np.arange(1, len(right) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(recall, prepend=0.0) * precision))

    def at(self, threshold: float) -> tuple[float, float]:
        """Precision and recall of the detections that reach a score; precision is nan without any."""
        right = self.right[self.scores >= threshold]
        precision = float(right.mean()) if len(right) else float("nan")
        return precision, float(right.sum() / self.persons) if self.persons else float("nan")

    def threshold_for(self, precision: float) -> float:
        """The lowest score from which on the precision is reached.

        Raises:
            ValueError: no score reaches it.
        """
        shares = np.cumsum(self.right) / np.arange(1, len(self.right) + 1)
        enough = np.flatnonzero(shares >= precision)
        if len(enough) == 0:
            raise ValueError(f"a precision of {precision} is reached nowhere")
        return float(self.scores[enough[-1]])


def overlaps(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """IoU of each pair (n, m), and the share of each first box that lies in each second one (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - common
    return common / np.maximum(union, 1e-9), common / np.maximum(areas[0][:, None], 1e-9)


def match(pictures: Sequence[Judged], heights: tuple[float, float] = (0, np.inf)) -> Hits:
    """Match detections with persons, the most confident first; each person counts once.

    With `heights` (from, below, in px) only persons of such a height count; others neither have to be
    found nor are they wrong. A detection that matches nobody does not count where most of it lies in an
    ignored region, or where its own height is outside the range.
    """
    scores, right, persons = [], [], 0
    for picture in pictures:
        tall = picture.persons[:, 3] - picture.persons[:, 1]
        wanted = (tall >= heights[0]) & (tall < heights[1])
        persons += int(wanted.sum())
        taken = np.zeros(len(picture.persons), bool)
        iou, _ = overlaps(picture.found, picture.persons)
        _, inside = overlaps(picture.found, picture.ignore)
        for number in np.argsort(-picture.scores, kind="stable"):
            free = np.where(taken, 0.0, iou[number])
            best = int(free.argmax()) if len(free) else -1
            if best >= 0 and free[best] >= MATCH:
                taken[best] = True
                if wanted[best]:
                    scores.append(picture.scores[number])
                    right.append(True)
                continue
            own = picture.found[number, 3] - picture.found[number, 1]
            if inside[number].max(initial=0.0) > 0.5 or not heights[0] <= own < heights[1]:
                continue
            scores.append(picture.scores[number])
            right.append(False)
    order = np.argsort(-np.array(scores), kind="stable") if scores else np.zeros(0, int)
    return Hits(np.array(scores, float)[order], np.array(right, bool)[order], persons)


def presence(pictures: Sequence[Judged], threshold: float) -> tuple[int, int, int, int]:
    """Pictures with a person where one was found, with a person, without one where one was found, without."""
    table = [[0, 0], [0, 0]]
    for picture in pictures:
        empty = len(picture.persons) == 0
        if empty and len(picture.ignore):
            continue
        table[empty][0] += bool((picture.scores >= threshold).any())
        table[empty][1] += 1
    return table[0][0], table[0][1], table[1][0], table[1][1]
