# SPDX-License-Identifier: MPL-2.0
"""Rounds in which all take turns, so that a machine that gets slower favours nobody; and what comes out."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def alternate(
    ways: Mapping[str, Callable[[], T]], rounds: int, before: Callable[[], object] = lambda: None
) -> dict[str, list[T]]:
    """What each way gives in each round. Every second round goes through them backwards.

    `before` is called before each of them.
    """
    found: dict[str, list[T]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            before()
            found[name].append(ways[name]())
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of ours / theirs: both of a round met the same machine."""
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of the values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values, or `percent` is not in 0..100.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"no percentile {percent} of {len(values)} values")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
