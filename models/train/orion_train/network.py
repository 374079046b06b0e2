# SPDX-License-Identifier: MPL-2.0
"""The person network: a compact anchor-free detector with one class and strides 8, 16 and 32."""

import torch
from torch import Tensor, nn

from orion_train.shape import Shape

PRIOR = 0.01
"""Score that an untrained network gives every cell; few cells hold a person, so start near zero."""


def _activation(name: str) -> nn.Module:
    return {"silu": nn.SiLU, "relu": nn.ReLU, "hardswish": nn.Hardswish}[name](inplace=True)


class Unit(nn.Sequential):
    """Convolution, batch normalisation, activation."""

    def __init__(self, ins: int, outs: int, kernel: int, act: str, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(ins, outs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outs, eps=1e-3, momentum=0.03),
            _activation(act),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity (He et al. 2015)."""

    def __init__(self, width: int, act: str) -> None:
        super().__init__()
        self.first = Unit(width, width, 3, act)
        self.second = Unit(width, width, 3, act)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) to the same shape."""
        return x + self.second(self.first(x))


class Partial(nn.Module):
    """Cross-stage partial block (Wang et al. 2019): half of the channels pass through residuals."""

    def __init__(self, ins: int, outs: int, depth: int, act: str) -> None:
        super().__init__()
        half = outs // 2
        self.split = Unit(ins, outs, 1, act)
        self.deep = nn.Sequential(*(Residual(half, act) for _ in range(depth)))
        self.join = Unit(outs, outs, 1, act)

    def forward(self, x: Tensor) -> Tensor:
        """(b, ins, h, w) to (b, outs, h, w)."""
        kept, deep = self.split(x).chunk(2, 1)
        return self.join(torch.cat([kept, self.deep(deep)], 1))


class Pyramid(nn.Module):
    """Spatial pyramid pooling (He et al. 2014) as three 5x5 maxima in a row: fields of 5, 9, 13 cells."""

    def __init__(self, width: int, act: str) -> None:
        super().__init__()
        self.enter = Unit(width, width // 2, 1, act)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = Unit(width * 2, width, 1, act)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) to the same shape."""
        levels = [self.enter(x)]
        for _ in range(3):
            levels.append(self.pool(levels[-1]))
        return self.leave(torch.cat(levels, 1))


class Separable(nn.Sequential):
    """Depthwise 3x3 and pointwise 1x1 convolution (Howard et al. 2017)."""

    def __init__(self, ins: int, outs: int, act: str, stride: int = 1) -> None:
        super().__init__(Unit(ins, ins, 3, act, stride, groups=ins), Unit(ins, outs, 1, act))


class Head(nn.Module):
    """Score and box of each cell of one level, in two branches."""

    def __init__(self, width: int, depth: int, act: str) -> None:
        super().__init__()
        self.score = nn.Sequential(*_branch(width, depth, act), nn.Conv2d(width, 1, 1))
        self.sides = nn.Sequential(*_branch(width, depth, act), nn.Conv2d(width, 4, 1))
        nn.init.constant_(self.score[-1].bias, -torch.log(torch.tensor((1 - PRIOR) / PRIOR)).item())
        nn.init.constant_(self.sides[-1].bias, 2.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(b, width, h, w) to logits (b, 1, h*w) and raw sides (b, 4, h*w)."""
        return self.score(x).flatten(2), self.sides(x).flatten(2)


def _branch(width: int, depth: int, act: str) -> list[nn.Module]:
    return [Separable(width, width, act) for _ in range(depth)]


class PersonNet(nn.Module):
    """Backbone of four CSP stages, a two-way pyramid (Liu et al. 2018), and a head for each stride."""

    def __init__(self, shape: Shape = Shape()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        widths, neck, deep, fine = (shape.stem, *shape.stages), shape.neck, shape.activation, shape.shallow
        acts = (fine, fine, deep, deep)
        self.shape = shape
        self.stem = Unit(3, shape.stem, 3, fine, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(Unit(ins, outs, 3, act, 2), Partial(outs, outs, depth, act))
            for ins, outs, depth, act in zip(widths, shape.stages, shape.depths, acts, strict=False)
        )
        self.pyramid = Pyramid(shape.stages[-1], deep)
        self.lateral = nn.ModuleList(
            Unit(width, neck, 1, act) for width, act in zip(shape.stages[1:], acts[1:], strict=True)
        )
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.top_down = nn.ModuleList(Partial(2 * neck, neck, 1, act) for act in (deep, fine))
        self.shrink = nn.ModuleList(Separable(neck, neck, deep, 2) for _ in range(2))
        self.bottom_up = nn.ModuleList(Partial(2 * neck, neck, 1, deep) for _ in range(2))
        self.heads = nn.ModuleList(Head(neck, shape.head_depth, act) for act in acts[1:])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (b, 3, h, w) in 0..1, RGB, to logits (b, n) and raw sides (b, n, 4).

        h and w are multiples of 32; n counts the cells of strides 8, 16, 32, row by row. What the raw
        sides mean is in `grid.py`.
        """
        x = self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        found[-1] = self.pyramid(found[-1])
        pairs = zip(self.lateral, found[1:], strict=True)
        fine, middle, coarse = (lateral(level) for lateral, level in pairs)
        middle = self.top_down[0](torch.cat([middle, self.up(coarse)], 1))
        fine = self.top_down[1](torch.cat([fine, self.up(middle)], 1))
        middle = self.bottom_up[0](torch.cat([self.shrink[0](fine), middle], 1))
        coarse = self.bottom_up[1](torch.cat([self.shrink[1](middle), coarse], 1))
        levels = [head(level) for head, level in zip(self.heads, (fine, middle, coarse), strict=True)]
        logits = torch.cat([level[0] for level in levels], 2)[:, 0]
        return logits, torch.cat([level[1] for level in levels], 2).transpose(1, 2)


def parameter_count(net: nn.Module) -> int:
    """Numbers that training learns."""
    return sum(value.numel() for value in net.parameters())
