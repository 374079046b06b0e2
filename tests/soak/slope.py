# SPDX-License-Identifier: MPL-2.0
"""Whether something grows: the slope of Theil and Sen over the lives of processes, and how sure that is.

A life is what one process showed, as pairs of a time (s) and a value. The slope is the median of the slopes
between all pairs of points of the same life: neither jumps between processes nor wild values count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Life = Sequence[tuple[float, float]]

LEAST = 6
"""A life with fewer points says nothing."""

_MOST = 1000
"""Points of a life that are compared, pair by pair: longer ones are thinned by medians of neighbours."""


@dataclass(frozen=True)
class Trend:
    """What the lives have in common."""

    slope: float
    """A second."""
    low: float
    """The slope lies above this with 95 % (Sen 1968; for points that do not depend on each other)."""
    high: float
    level: float
    """The median of all values."""
    scatter: float
    """How far values lie from the line of their life: 1.4826 x the median of the distances."""
    span: float
    """Seconds of the longest life."""
    points: int

    @property
    def growth(self) -> float:
        """What the slope makes of the longest life."""
        return self.slope * self.span


def trend(lives: Sequence[Life]) -> Trend | None:
    """None = no life is long enough."""
    kept = [np.asarray(life, dtype=float) for life in lives if len(life) >= LEAST]
    if not kept:
        return None
    thin = [_thinned(life) for life in kept]
    slopes = np.sort(np.concatenate([_slopes(life) for life in thin]))
    slope = float(np.median(slopes))
    # The variance of Kendall's statistic; that of several lives is the sum.
    sizes = np.array([len(life) for life in thin], dtype=float)
    reach = 1.96 * np.sqrt(np.sum(sizes * (sizes - 1) * (2 * sizes + 5) / 18))
    low, high = (round((len(slopes) + side * float(reach)) / 2) for side in (-1, 1))
    rests = [life[:, 1] - slope * life[:, 0] for life in kept]
    distances = np.concatenate([np.abs(rest - np.median(rest)) for rest in rests])
    return Trend(
        slope=slope,
        low=float(slopes[max(low, 0)]),
        high=float(slopes[min(high, len(slopes) - 1)]),
        level=float(np.median(np.concatenate([life[:, 1] for life in kept]))),
        scatter=float(1.4826 * np.median(distances)),
        span=float(max(life[-1, 0] - life[0, 0] for life in kept)),
        points=sum(len(life) for life in kept),
    )


def _slopes(life: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(len(life), 1)
    apart = life[second] - life[first]
    return apart[:, 1] / apart[:, 0]


def _thinned(life: np.ndarray) -> np.ndarray:
    if len(life) <= _MOST:
        return life
    return np.array([np.median(part, axis=0) for part in np.array_split(life, _MOST)])
