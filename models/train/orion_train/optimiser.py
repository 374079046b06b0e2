# SPDX-License-Identifier: MPL-2.0
"""Muon for the convolutions, AdamW for everything else.

Muon (Jordan et al. 2024): the update of a weight matrix is its momentum, replaced by the nearest matrix
with equal singular values, which a few Newton-Schulz steps of fifth order approximate. AdamW:
Loshchilov and Hutter 2019.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# X -> a X + b (X X^T) X + c (X X^T)^2 X; chosen by Muon's authors to lift small singular values fast.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix of the same shape (m, n) with singular values near 1 and the same singular vectors."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    if x.is_cuda:
        x = x.bfloat16()  # half the time there; on a CPU the conversions cost more than they save
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled decay for weights of two or more dimensions."""

    def __init__(
        self, weights: Iterable[nn.Parameter], lr: float, decay: float, momentum: float = 0.95
    ) -> None:
        super().__init__(weights, {"lr": lr, "decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights by their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"]
                momentum.lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(momentum, group["momentum"]).flatten(1)
                change = orthogonal(ahead) * max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(change.view_as(weight), alpha=-group["lr"])


def optimisers(
    net: nn.Module, kind: str, matrix_rate: float, rate: float, decay: float
) -> list[torch.optim.Optimizer]:
    """Optimisers that together train every parameter; `kind` is muon, or adamw for AdamW alone.

    Full convolutions inside the network go to Muon. Depthwise kernels, the heads' last layers, biases
    and normalisation go to AdamW; the last two without decay.
    """
    matrices, weights, rest = [], [], []
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            conv = isinstance(module, nn.Conv2d) and parameter.ndim == 4
            if conv and module.groups == 1 and module.bias is None and kind == "muon":
                matrices.append(parameter)
            else:
                (weights if conv else rest).append(parameter)
    groups = [{"params": weights, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))]
    if matrices:
        found.append(Muon(matrices, matrix_rate, decay))
    for optimiser in found:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return found
