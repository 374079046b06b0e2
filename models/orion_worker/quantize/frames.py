# SPDX-License-Identifier: MPL-2.0
"""Frames to calibrate and to judge with, out of a folder of pictures or a recording."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from orion_worker.detector import Image
from orion_worker.errors import UsageError

LEAST = 8
"""Fewer frames say nothing."""

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def from_folder(folder: Path, count: int) -> list[Image]:
    """Up to `count` pictures of a folder, evenly spread over the names in order.

    Raises:
        UsageError: there are not enough, or one cannot be read; names it.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _PICTURES)
    except OSError as error:
        raise UsageError(f"--images {folder}: {error.strerror or error}") from error
    chosen = [files[at] for at in _spread(len(files), count)]
    _check(len(chosen), f"--images {folder}", f"pictures ({', '.join(_PICTURES)})")
    return [_picture(file) for file in chosen]


def from_video(clip: Path, count: int) -> list[Image]:
    """Up to `count` frames of a recording, evenly spread over it.

    Raises:
        UsageError: it cannot be read, or is too short.
    """
    if not clip.is_file():
        raise UsageError(f"--video {clip}: no such file")
    total = sum(1 for _ in _grabbed(clip))
    wanted = set(_spread(total, count))
    found = []
    for at, capture in enumerate(_grabbed(clip)):
        if at in wanted:
            good, image = capture.retrieve()
            if good:
                found.append(np.asarray(image, np.uint8))
    _check(len(found), f"--video {clip}", "frames that can be decoded")
    return found


def split(frames: list[Image]) -> tuple[list[Image], list[Image]]:
    """Frames to calibrate with and frames to judge by, in turns."""
    return frames[::2], frames[1::2]


def _grabbed(clip: Path) -> Iterator[cv2.VideoCapture]:
    # Counted by reading: what a container says of its length may be wrong.
    capture = cv2.VideoCapture(str(clip))
    try:
        while capture.grab():
            yield capture
    finally:
        capture.release()


def _spread(total: int, count: int) -> list[int]:
    if total <= count:
        return list(range(total))
    return [int(at) for at in np.linspace(0, total - 1, count).round()]


def _picture(file: Path) -> Image:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), flags)
    except (OSError, cv2.error) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if image is None:
        raise UsageError(f"{file} is no picture")
    return np.asarray(image, np.uint8)


def _check(found: int, where: str, what: str) -> None:
    if found < LEAST:
        raise UsageError(f"{where}: {found} {what}, at least {LEAST} are needed")
