# SPDX-License-Identifier: MPL-2.0
"""A running average of the weights, which is what is evaluated and exported."""

import copy
import math

import torch
from torch import nn


class Average:
    """Exponential average of a network's weights and buffers, quick at the start of a run."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Move towards `net` after a step; memory grows to 1 / (1 - decay) steps over some hundred."""
        share = 1 - self.decay * (1 - math.exp(-(step + 1) / 400))
        for mine, theirs in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, share)
            else:
                mine.copy_(theirs)
