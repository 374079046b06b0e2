# SPDX-License-Identifier: MPL-2.0
"""What a run does at which step: learning rate, input size and how pictures are put together."""

import math
from dataclasses import dataclass

import numpy as np

FINAL = 0.02
"""Learning rate at the end, relative to its peak."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a run.

    `until` is its end as a share of all steps. `sides` are the input sizes in px that are drawn from.
    `mosaic` is the chance of several pictures on a canvas. `alone` is the range of a single picture's
    longer side relative to the canvas.
    """

    until: float
    sides: tuple[int, ...]
    mosaic: float
    alone: tuple[float, float]


PHASES = (
    Phase(0.30, (160, 192, 192, 224), 0.65, (0.65, 1.7)),
    Phase(0.60, (192, 224, 256, 288), 0.55, (0.6, 1.7)),
    Phase(0.90, (224, 256, 288, 320, 320, 384, 512), 0.45, (0.5, 1.6)),
    Phase(1.00, (288, 320, 320, 384, 512, 640), 0.25, (0.45, 1.25)),
)


def phase_of(progress: float) -> Phase:
    """The phase at a share of the run in 0..1."""
    return next((phase for phase in PHASES if progress < phase.until), PHASES[-1])


def generator(seed: int, step: int, slot: int) -> np.random.Generator:
    """The source of chance for one picture of one step; the same wherever and whenever it is asked."""
    return np.random.default_rng([seed, step, slot])


def side_of(seed: int, step: int, steps: int) -> int:
    """Input size in px of a step; all pictures of a batch share it."""
    sides = phase_of(step / steps).sides
    return int(sides[generator(seed, step, 1 << 20).integers(len(sides))])


def rate_factor(step: int, steps: int, warm_up: int) -> float:
    """Learning rate relative to its peak: linear warm-up, then half a cosine (Loshchilov, Hutter 2017)."""
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(1, steps - warm_up)
    return FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
