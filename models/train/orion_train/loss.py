# SPDX-License-Identifier: MPL-2.0
"""What the network is punished for: wrong scores everywhere, wrong boxes where there is a person."""

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from orion_train.assign import assign

_TINY = 1e-7


def decode(raw: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Boxes (..., n, 4) as corners in px from raw sides; as `grid.decode`, for tensors."""
    sides = softplus(raw) * strides[:, None]
    return torch.cat([points - sides[..., :2], points + sides[..., 2:]], -1)


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """CIoU (Zheng et al. 2020) of boxes (n, 4) in corners, pair by pair: (n,), at most 1.

    IoU minus squared distance of centres by squared diagonal of the common hull, minus a v with
    v = 4/pi^2 (difference of atan(width/height))^2 and a = v / (1 - IoU + v), a held constant.
    """
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    common = (high - low).clamp_min(0).prod(-1)
    size1, size2 = first[:, 2:] - first[:, :2], second[:, 2:] - second[:, :2]
    iou = common / (size1.prod(-1) + size2.prod(-1) - common).clamp_min(_TINY)
    hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    apart = (first[:, :2] + first[:, 2:] - second[:, :2] - second[:, 2:]) / 2
    distance = apart.square().sum(-1) / hull.square().sum(-1).clamp_min(_TINY)
    angles = [torch.atan(size[:, 0] / size[:, 1].clamp_min(_TINY)) for size in (size1, size2)]
    shape = 4 / math.pi**2 * (angles[0] - angles[1]).square()
    share = (shape / (1 - iou + shape).clamp_min(_TINY)).detach()
    return iou - distance - share * shape


def covered(points: Tensor, regions: Tensor, owners: Tensor, pictures: int) -> Tensor:
    """Which cells (pictures, n) have their point in a region (m, 4) of their picture."""
    low, high = regions[:, None, :2], regions[:, None, 2:]
    hits = ((points[None] >= low) & (points[None] <= high)).all(-1)
    counts = torch.zeros(pictures, points.shape[0], device=points.device)
    return counts.index_add(0, owners, hits.float()) > 0


def total(
    logits: Tensor,
    raw: Tensor,
    grid: tuple[Tensor, Tensor],
    persons: tuple[Tensor, Tensor],
    ignore: tuple[Tensor, Tensor],
    box_gain: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch, and its parts.

    Args:
        logits: (b, n).
        raw: (b, n, 4).
        grid: points (n, 2) and strides (n,) in px.
        persons: boxes (g, 4) in px and the picture of each (g,).
        ignore: regions (m, 4) in px and the picture of each (m,); cells there that no person teaches
            have no part in the loss.
        box_gain: weight of the boxes' loss against the scores'.
    """
    logits, raw = logits.float(), raw.float()
    points, strides = grid
    predicted = decode(raw, points, strides)
    found = assign(logits.sigmoid(), predicted, points, strides, *persons)
    target = torch.zeros_like(logits)
    target[found.pictures, found.cells] = found.targets
    weight = (~covered(points, *ignore, len(logits))).float()
    weight[found.pictures, found.cells] = 1.0
    norm = found.targets.sum().clamp_min(1.0)
    score_loss = binary_cross_entropy_with_logits(logits, target, weight, reduction="sum") / norm
    matched = predicted[found.pictures, found.cells]
    wrong = 1 - complete_iou(matched, persons[0][found.persons])
    box_loss = (wrong * found.targets).sum() / norm
    parts = {"score": score_loss.detach(), "box": box_loss.detach()}
    return score_loss + box_gain * box_loss, parts
