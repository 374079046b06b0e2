# SPDX-License-Identifier: MPL-2.0
"""Composed scenes: a photo with a labelled person, scaled down, at a known place of a large frame."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from decode import iou

LEAST_HEIGHT = 120
"""Persons that are smaller in their photo would have to be enlarged for some scenes."""

_WIDEST = 0.8


@dataclass(frozen=True)
class Person:
    """A labelled person: the photo (blue, green, red), and left, top, right, bottom in it."""

    name: str
    photo: np.ndarray
    box: np.ndarray


def upright_persons(data_dir: Path) -> list[Person]:
    """The labelled persons that are large enough in their photos and taller than wide, in a fixed order."""
    found = []
    photos = data_dir / "photos"
    for file, labels in sorted(json.loads((photos / "persons.json").read_text()).items()):
        for number, box in enumerate(labels["persons_xyxy"]):
            width, height = box[2] - box[0], box[3] - box[1]
            if height >= LEAST_HEIGHT and width <= _WIDEST * height:
                photo = cv2.imread(str(photos / "images" / file))
                found.append(Person(f"{Path(file).stem.lstrip('0')}/{number}", photo, np.array(box)))
    return found


def best_score(boxes: Iterable[np.ndarray], wanted: np.ndarray) -> float:
    """The confidence of the most confident box that overlaps the wanted one by half, 0 without one."""
    return max((float(box[4]) for box in boxes if iou(box, wanted) >= 0.5), default=0.0)


def soft_background(width: int, height: int) -> np.ndarray:
    """A softly textured picture with nobody in it; the same one every time."""
    texture = np.random.default_rng(7).normal(120, 14, (height // 60, width // 60, 3))
    soft = cv2.resize(texture.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(soft, 0, 255).astype(np.uint8)


def with_person(
    background: np.ndarray, person: Person, height: int, centre: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The background with the photo on it, scaled so that the person is `height` px tall; the person's box.

    The whole photo comes along, cut at the background's edges, because a person cut out of the
    surroundings is not what a network was trained for.
    """
    scale = height / (person.box[3] - person.box[1])
    width = max(1, round(person.photo.shape[1] * scale))
    rows = max(1, round(person.photo.shape[0] * scale))
    small = cv2.resize(person.photo, (width, rows), interpolation=cv2.INTER_AREA)
    box = person.box * np.tile([width / person.photo.shape[1], rows / person.photo.shape[0]], 2)
    # Whole pixels, so that nothing is resampled twice.
    x, y = (int(value) for value in np.round(np.array(centre) - (box[:2] + box[2:]) / 2))
    picture = background.copy()
    left, top = max(0, -x), max(0, -y)
    below = picture[max(0, y) : y + rows, max(0, x) : x + width]
    below[:] = small[top : top + below.shape[0], left : left + below.shape[1]]
    return picture, box + np.array([x, y, x, y])
