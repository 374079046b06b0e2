# SPDX-License-Identifier: MPL-2.0
"""Batches of training pictures, each a function of the seed and its step alone."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from orion_train.cache import Cache, Picture
from orion_train.config import EMPTY_FACTOR, WEIGHTS, Config
from orion_train.looks import distort
from orion_train.phases import Phase, generator, phase_of, side_of
from orion_train.placing import Boxes, Window, cells_of, fit, sort_out

GREY = 114


@dataclass(slots=True)
class Batch:
    """Pictures (b, side, side, 3), RGB; boxes and ignored regions (n, 4) in px with their picture (n,)."""

    step: int
    images: NDArray[np.uint8]
    boxes: Boxes
    owners: NDArray[np.int64]
    ignore: Boxes
    ignore_owners: NDArray[np.int64]


def draw_weights(pictures: list[Picture], without_teacher: bool) -> NDArray[np.float64]:
    """Chance of each picture to be drawn; they add up to 1."""
    mixed = {entry.source for entry in pictures if len(entry.boxes)}
    weights = np.array([WEIGHTS[entry.source] for entry in pictures])
    for number, entry in enumerate(pictures):
        if without_teacher and entry.origin == "teacher":
            weights[number] = 0
        elif not len(entry.boxes) and entry.source in mixed:
            weights[number] *= EMPTY_FACTOR
    return weights / weights.sum()


class Batches:
    """The batch of each step, for a data loader: `batches[step]`."""

    def __init__(self, cache: Cache, config: Config) -> None:
        self.cache, self.config = cache, config
        self._limits = np.cumsum(draw_weights(cache.pictures, config.without_teacher))

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, step: int) -> Batch:
        config = self.config
        side, phase = side_of(config.seed, step, config.steps), phase_of(step / config.steps)
        images = np.empty((config.batch, side, side, 3), np.uint8)
        found: list[tuple[Boxes, Boxes]] = []
        for slot in range(config.batch):
            rng = generator(config.seed, step, slot)
            canvas, boxes, ignore = self._compose(rng, side, phase)
            images[slot] = distort(rng, canvas)
            found.append((boxes, ignore))
        columns = []
        for kind in (0, 1):
            columns.append(np.concatenate([pair[kind] for pair in found]).astype(np.float32))
            columns.append(np.repeat(np.arange(config.batch), [len(pair[kind]) for pair in found]))
        return Batch(step, images, *columns)

    def _draw(self, rng: np.random.Generator) -> int:
        return min(int(np.searchsorted(self._limits, rng.random(), "right")), len(self._limits) - 1)

    def _compose(
        self, rng: np.random.Generator, side: int, phase: Phase
    ) -> tuple[NDArray[np.uint8], Boxes, Boxes]:
        canvas = np.full((side, side, 3), GREY, np.uint8)
        if rng.random() < phase.mosaic:
            count = 3 if rng.random() < 0.25 else 2
            cells, span = cells_of(rng, side, count), (0.9 / count, 2.5 / count)
        else:
            cells, span = [(0, 0, side, side)], phase.alone
        taught, ignored = [], []
        for cell in cells:
            number = self._draw(rng)
            entry = self.cache.pictures[number]
            window = _window(rng, entry, cell, side, span)
            _paste(rng, canvas, self.cache.pixels(number), window)
            good, bad = sort_out(*window.map(entry.boxes))
            rest, left = window.map(entry.ignore)
            taught.append(good)
            ignored += [bad, rest[left > 0]]
        return canvas, np.concatenate(taught), np.concatenate(ignored)


def _window(
    rng: np.random.Generator,
    entry: Picture,
    cell: tuple[int, int, int, int],
    side: int,
    span: tuple[float, float],
) -> Window:
    ratio = np.exp(rng.uniform(*np.log(span))) * side / max(entry.width, entry.height)
    stretch = np.exp(rng.normal(0, 0.07))
    focus = None
    if len(entry.boxes) and rng.random() < 0.8:
        box = entry.boxes[rng.integers(len(entry.boxes))]
        focus = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    return fit(rng, (entry.width, entry.height), cell, (ratio * stretch, ratio / stretch), focus)


def _paste(
    rng: np.random.Generator, canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], window: Window
) -> None:
    x, y, width, height = window.source
    left, top, new_width, new_height = window.target
    how = cv2.INTER_AREA if new_width < width and rng.random() < 0.5 else cv2.INTER_LINEAR
    part = pixels[y : y + height, x : x + width]
    if (new_width, new_height) != (width, height):
        part = cv2.resize(part, (new_width, new_height), interpolation=how)
    canvas[top : top + new_height, left : left + new_width] = part[:, ::-1] if window.flip else part
