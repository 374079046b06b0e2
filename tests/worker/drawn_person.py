# SPDX-License-Identifier: MPL-2.0
"""A drawn person before a wall, for tests that need a real network and have no photos."""

import cv2
import numpy as np

# Ends and half-widths in hundredths of the height, x from the middle, y from the crown; BGR.
LIMBS = [
    ((-3, 52), (-6, 73), 5.0, (45, 40, 35)),
    ((-6, 73), (-9, 95), 3.5, (45, 40, 35)),
    ((3, 52), (7, 73), 5.0, (60, 50, 45)),
    ((7, 73), (11, 95), 3.5, (60, 50, 45)),
    ((-9, 97), (-5, 97), 2.0, (25, 25, 30)),
    ((11, 97), (15, 97), 2.0, (25, 25, 30)),
    ((-8, 22), (-12, 37), 3.0, (95, 45, 30)),
    ((-12, 37), (-9, 51), 2.5, (95, 45, 30)),
    ((8, 22), (11, 37), 3.0, (120, 60, 40)),
    ((11, 37), (8, 51), 2.5, (120, 60, 40)),
    ((0, 24), (0, 50), 8.0, (120, 60, 40)),
    ((-6, 22), (6, 22), 3.5, (120, 60, 40)),
    ((0, 19), (0, 14), 2.8, (140, 170, 215)),
    ((0, 6), (0, 7), 5.8, (30, 40, 55)),
    ((0, 8), (0, 11), 4.8, (140, 170, 215)),
]


def picture(width: int, height: int, tall: int, foot: tuple[int, int]) -> np.ndarray:
    """BGR picture of a room with one person, `tall` px high, that stands at `foot`."""
    room = np.full((height, width, 3), (205, 210, 214), np.uint8)
    room[int(height * 0.65) :] = (80, 110, 140)
    noise = np.random.default_rng(0).normal(0, 3, room.shape)
    person = np.clip(room + noise, 0, 255).astype(np.uint8)
    unit = tall / 100
    for start, end, half, colour in LIMBS:
        points = [(round(foot[0] + x * unit), round(foot[1] + (y - 99) * unit)) for x, y in (start, end)]
        cv2.line(person, *points, colour, max(1, round(2 * half * unit)), cv2.LINE_AA)
    return cv2.GaussianBlur(person, (3, 3), 0)
