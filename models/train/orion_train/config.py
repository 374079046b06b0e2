# SPDX-License-Identifier: MPL-2.0
"""What a training run is made of: everything that its result depends on, kept in its checkpoints."""

from dataclasses import asdict, dataclass, field

from orion_train.shape import Shape

WEIGHTS = {
    "voc": 2.0,
    "tud": 0.8,
    "css": 1.5,
    "cssmosaic": 0.5,
    "shop": 0.8,
    "humanseg": 0.8,
    "fall": 0.5,
    "cctvpos": 1.5,
    "roomspos": 1.0,
    "cctvneg": 0.8,
    "rooms": 0.3,
}
"""How often a picture of each source is drawn, relative to the others."""

EMPTY_FACTOR = 0.35
"""What the weight is multiplied by for a picture without a person, where the source also has people."""

HELD_OUT = ("coco128train",)
"""Sources that are never trained on: they judge (the 25 photos among the test data are part of them)."""


@dataclass(frozen=True, slots=True)
class Config:
    """One run. Pictures are drawn, cut and distorted as (seed, step) says, so a run can be repeated."""

    seed: int = 1
    steps: int = 8000
    batch: int = 32
    without_teacher: bool = False
    optimiser: str = "muon"
    matrix_rate: float = 0.02
    rate: float = 2e-3
    decay: float = 0.05
    warm_up: int = 200
    ema_decay: float = 0.999
    box_gain: float = 2.5
    shape: Shape = field(default_factory=Shape)

    def plain(self) -> dict:
        """As values that a checkpoint can hold."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict) -> "Config":
        """The inverse of `plain`, also after a round through JSON."""
        return cls(**{**values, "shape": Shape.of(values["shape"])})
