# SPDX-License-Identifier: MPL-2.0
"""Which cells answer for which person, decided anew each step from what the network says.

Task alignment (Feng et al., TOOD, 2021): a cell suits a person by score^a IoU^b, and the best ten
cells inside the person's box are taught to find it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TOP = 10
SCORE_POWER = 0.5
IOU_POWER = 4.0
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Assignment:
    """The taught cells: picture (k,), cell (k,), person (k,) by row of the boxes, and target score (k,)."""

    pictures: Tensor
    cells: Tensor
    persons: Tensor
    targets: Tensor


def pair_iou(first: Tensor, second: Tensor) -> Tensor:
    """Overlap of boxes (..., 4) in corners, pair by pair, with broadcasting: intersection by union."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    common = (high - low).clamp_min(0).prod(-1)
    areas = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1)
    return common / (areas - common).clamp_min(_TINY)


def inside(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    """Whether each point (n, 2) may answer for each box (g, 4): (g, n).

    It lies in the box; a box narrower than a cell of the finest stride is widened to one cell there,
    so that no person is without a point.
    """
    least = strides.min()
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    away = (points[None] - centre[:, None]).abs()
    strict = (away < half[:, None]).all(-1)
    wide = (away <= half.clamp_min(float(least) / 2)[:, None]).all(-1)
    return strict | (wide & (strides == least)[None])


@torch.no_grad()
def assign(
    scores: Tensor, predicted: Tensor, points: Tensor, strides: Tensor, boxes: Tensor, owners: Tensor
) -> Assignment:
    """Choose the cells that each person teaches.

    Args:
        scores: (b, n) in 0..1.
        predicted: (b, n, 4) boxes as corners in px.
        points: (n, 2) in px.
        strides: (n,) in px.
        boxes: (g, 4) persons as corners in px.
        owners: (g,) the picture of each.

    A cell that several persons want goes to the one it overlaps most. The target score of a cell is its
    alignment, scaled so that each person's best cell gets the person's best IoU.
    """
    count = scores.shape[1]
    iou = pair_iou(predicted[owners], boxes[:, None])
    allowed = inside(points, strides, boxes)
    fit = torch.where(allowed, scores[owners].pow(SCORE_POWER) * iou.pow(IOU_POWER) + _TINY, 0.0)
    best, cells = fit.topk(min(TOP, count), dim=1)
    persons = torch.arange(len(boxes), device=boxes.device)[:, None].expand_as(cells)
    good = best > 0
    cells, persons = cells[good], persons[good]
    overlap = iou[persons, cells]
    slots = owners[persons] * count + cells
    most = torch.zeros(scores.numel(), device=scores.device).scatter_reduce(0, slots, overlap, "amax")
    # Equal overlaps, as of two labels of one person: the first in the list has it.
    first = torch.full((scores.numel(),), len(boxes), device=scores.device, dtype=persons.dtype)
    wins = overlap >= most[slots]
    first = first.scatter_reduce(0, slots[wins], persons[wins], "amin")
    wins &= persons == first[slots]
    cells, persons, overlap = cells[wins], persons[wins], overlap[wins]
    value = fit[persons, cells]
    zeros = torch.zeros(len(boxes), device=scores.device)
    top_fit = zeros.scatter_reduce(0, persons, value, "amax")
    top_iou = zeros.scatter_reduce(0, persons, overlap, "amax")
    targets = value / top_fit[persons].clamp_min(_TINY) * top_iou[persons]
    return Assignment(owners[persons], cells, persons, targets)
