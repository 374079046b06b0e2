# SPDX-License-Identifier: MPL-2.0
"""Settings that flags and commands give: checks and defaults."""

import math
import os
from typing import Any

MAX_BATCH_WAIT_MS = 1000
"""The longest time that a frame waits for others to be run with it."""


def fraction(value: Any) -> float:
    """A number in 0..1.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{value} is not between 0 and 1")
    return float(value)


def labels(value: Any) -> list[str]:
    """A list of at least one class name, from a list or from text separated by commas.

    Raises:
        ValueError: it is not one.
    """
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{value!r} is not a list of names")
    names = [name.strip() for name in names]
    if not names or not all(names):
        raise ValueError("an empty name is no label")
    return list(dict.fromkeys(names))


def thread_count(threads: int) -> int:
    """Threads to use when `threads` were asked for: 0 means every core this process may run on."""
    return threads or len(os.sched_getaffinity(0))
