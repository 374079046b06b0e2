# SPDX-License-Identifier: MPL-2.0
"""Test pictures as frame messages."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from orion_worker.detector import Image

FORMATS = ("jpeg", "rgb", "bgr", "i420", "nv12")


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame message and what its answer is compared with: number, width and height in px."""

    message: dict[str, Any]
    seq: int
    width: int
    height: int


@lru_cache(maxsize=32)
def scene(width: int, height: int, step: int) -> Image:
    """A room with some texture, where a bright ball has moved on with every step."""
    y, x = np.mgrid[0:height, 0:width]
    room = np.stack([x * 120 // width, y * 120 // height, 60 + (x // 8 + y // 8) % 2 * 10], axis=2)
    image = np.ascontiguousarray(room, np.uint8)
    radius = max(1, min(width, height) // 8)
    centre = (width * (2 + step % 8) // 12, height // 2)
    return cv2.circle(image, centre, radius, (255, 255, 255), -1)


@lru_cache(maxsize=32)
def encoded(encoding: str, width: int, height: int, step: int = 0) -> bytes:
    """The scene's bytes in one of `FORMATS`; raw ones without row padding, chroma rounded up."""
    image = scene(width, height, step)
    if encoding == "jpeg":
        return cv2.imencode(".jpg", image)[1].tobytes()
    if encoding == "bgr":
        return image.tobytes()
    if encoding == "rgb":
        return image[:, :, ::-1].tobytes()
    # Grey: the chroma planes are the same in both layouts.
    chroma = 2 * ((width + 1) // 2) * ((height + 1) // 2)
    return image.mean(axis=2).astype(np.uint8).tobytes() + b"\x80" * chroma


def huge_jpeg() -> bytes:
    """A JPEG header that declares 65535 by 65535 px, with next to nothing behind it."""
    data = bytearray(encoded("jpeg", 64, 48))
    # Start of frame: marker, length (2 bytes), precision (1), height (2), width (2).
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff" * 4
    return bytes(data)
