# SPDX-License-Identifier: MPL-2.0
"""Size of the network."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths and depths. `stem` and `stages` are channels at strides 2, 4, 8, 16, 32.

    `shallow` is the activation wherever cells are 8 px or finer, `activation` that of all the rest: SiLU
    learns better, ReLU is fused into the convolution by ONNX Runtime, and fine levels are where it counts.
    """

    stem: int = 16
    stages: tuple[int, int, int, int] = (32, 48, 104, 176)
    depths: tuple[int, int, int, int] = (1, 2, 2, 1)
    neck: int = 64
    head_depth: int = 2
    activation: str = "silu"
    shallow: str = "relu"

    def plain(self) -> dict:
        """As values that a checkpoint can hold."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict) -> "Shape":
        """The inverse of `plain`, also after a round through JSON."""
        return cls(**{**values, "stages": tuple(values["stages"]), "depths": tuple(values["depths"])})
