# SPDX-License-Identifier: MPL-2.0
"""Memory for the inputs of a network, laid out once and filled for frame after frame."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from orion_worker.detector import Image
from orion_worker.letterbox import GREY, Letterbox

Run = Callable[[], NDArray[np.float32]]
"""Runs a network on the tensor that it was made for; the output is valid until its next run."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a network was trained with: the channels (of blue 0, green 1, red 2) in order, and the factor."""

    channels: tuple[int, int, int]
    factor: float

    def values(self) -> NDArray[np.float32]:
        """What each of the 256 grey levels is in the tensor."""
        return np.arange(256, dtype=np.uint8) * np.float32(self.factor)


class Tensor:
    """One input (1, 3, height, width): `blob`. Only what differs from the frame before is written.

    Nothing is allocated per frame: pictures of a network's input size are above the size from which
    the system is asked for each, and has to clear each, page by page.
    """

    def __init__(self, width: int, height: int, layout: Layout):
        self.blob = np.empty((1, 3, height, width), np.float32)
        self._picture = np.empty((height, width, 3), np.uint8)
        self._planes = np.empty((3, height, width), np.uint8)
        self._channels, self._values = layout.channels, layout.values()
        self._inside: tuple[slice, slice] | None = None

    def fill(self, image: Image, box: Letterbox) -> None:
        """Lay out an image, scaled and with bars around it, as `box` says."""
        rows, columns = inside = box.inside()
        if inside != self._inside:
            grey = self._values[GREY]
            self.blob[:, :, : rows.start] = self.blob[:, :, rows.stop :] = grey
            self.blob[:, :, rows, : columns.start] = self.blob[:, :, rows, columns.stop :] = grey
            self._inside = inside
        picture = box.scale(image, self._picture)
        size = box.scaled_width * box.scaled_height
        planes = self._planes.reshape(-1)[: 3 * size].reshape(3, box.scaled_height, box.scaled_width)
        given = [planes[0], planes[1], planes[2]]
        for made, plane in zip(cv2.split(picture, mv=given), given, strict=True):
            _into(made, plane)
        for at, channel in enumerate(self._channels):
            target = self.blob[0, at, rows, columns]
            # The same numbers as by multiplying, in two thirds of the time.
            _into(cv2.LUT(planes[channel], self._values, dst=target), target)


class Tensors:
    """The tensors of one network: as many as are in use at a time, which is two while frames come in.

    `take` and `give_back` may be called on different threads.
    """

    def __init__(self, make: Callable[[], tuple[Tensor, Run]]):
        self._make = make
        self._free: deque[tuple[Tensor, Run]] = deque()

    def take(self) -> tuple[Tensor, Run]:
        """One that nobody uses, and how to run the network on it."""
        try:
            return self._free.pop()
        except IndexError:
            return self._make()

    def give_back(self, tensor: tuple[Tensor, Run]) -> None:
        """Its content is not needed any more."""
        self._free.append(tensor)


class Stack:
    """Memory for tensors of one size side by side, taken when it is first needed."""

    def __init__(self) -> None:
        self._blob: NDArray[np.float32] | None = None

    def of(self, tensors: Sequence[Tensor]) -> NDArray[np.float32]:
        """The tensors as one input (n, 3, height, width), valid until the next call."""
        count = len(tensors)
        if self._blob is None or len(self._blob) < count:
            self._blob = np.empty((count, *tensors[0].blob.shape[1:]), np.float32)
        for place, tensor in zip(self._blob, tensors, strict=False):
            place[...] = tensor.blob[0]
        return self._blob[:count]


def _into(made: NDArray[np.generic], wanted: NDArray[np.generic]) -> None:
    # OpenCV writes where it is told to as long as size and type fit, and elsewhere without a word if not.
    if made is not wanted and not np.may_share_memory(made, wanted):
        wanted[...] = made
