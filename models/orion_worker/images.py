# SPDX-License-Identifier: MPL-2.0
"""Frames as they come from the host, decoded to images."""

import cv2
import numpy as np
from numpy.typing import NDArray

from orion_worker.detector import Image
from orion_worker.jpeg import jpeg_size
from orion_worker.nativelog import native_log

MAX_PIXELS = 8192 * 4320
"""Largest JPEG that is decoded (8K with some room): 106 MB as an image."""

# Data libjpeg had to invent. It carries on and fills the rest with grey or noise, where an empty
# result would be taken for an empty room. "Extraneous bytes" are left out: the picture is whole.
_DAMAGED = ("premature end", "bad Huffman code", "Inconsistent progression", "Invalid SOS")


REDUCTIONS = (1, 2, 4, 8)
"""What a JPEG's sides can be divided by while it is decoded; libjpeg then leaves out what is not needed."""

_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def decode(data: bytes | memoryview, encoding: str, width: int, height: int, reduction: int = 1) -> Image:
    """Decode one frame to a (height, width, 3) image, blue, green, red.

    JPEG: 0 by 0 stands for "as the file says"; the EXIF orientation is ignored, because boxes refer
    to the stored picture. Data that ends early or has unreadable parts is refused. `reduction`, one
    of `REDUCTIONS`, makes the image smaller by that factor, its sides rounded up.
    Raw (rgb, bgr, i420, nv12): packed without row padding, chroma rounded up for odd sizes, YUV as
    BT.601 with 16..235.

    Raises:
        ValueError: the bytes do not make such a frame; the text says what is wrong.
    """
    if encoding == "jpeg":
        return _jpeg(data, width, height, reduction)
    if width < 1 or height < 1:
        raise ValueError(f"{encoding} frame of {width}x{height} px")
    expected = raw_size(encoding, width, height)
    if len(data) != expected:
        raise ValueError(f"{len(data)} bytes of {encoding} for {width}x{height} px, expected {expected}")
    flat = np.frombuffer(data, np.uint8)
    if encoding == "bgr":
        return flat.reshape(height, width, 3)
    if encoding == "rgb":
        return np.asarray(cv2.cvtColor(flat.reshape(height, width, 3), cv2.COLOR_RGB2BGR), np.uint8)
    return _yuv(flat, encoding, width, height)


def raw_size(encoding: str, width: int, height: int) -> int:
    """Bytes of a packed raw frame.

    Raises:
        ValueError: the encoding is none of rgb, bgr, i420, nv12.
    """
    if encoding in ("rgb", "bgr"):
        return width * height * 3
    if encoding in ("i420", "nv12"):
        return width * height + 2 * _half(width) * _half(height)
    raise ValueError(f"unknown format {encoding!r}: expected jpeg, rgb, bgr, i420 or nv12")


def _half(size: int) -> int:
    return (size + 1) // 2


def reduced(size: int, reduction: int) -> int:
    """A side in px of a picture decoded with `reduction`."""
    return -(-size // reduction)


def reduction_for(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """The largest of `REDUCTIONS` with which a picture of `size` (width, height) still has `wanted` px."""
    for factor in reversed(REDUCTIONS):
        if reduced(size[0], factor) >= wanted[0] and reduced(size[1], factor) >= wanted[1]:
            return factor
    return 1


def _jpeg(data: bytes | memoryview, width: int, height: int, reduction: int) -> Image:
    declared = jpeg_size(data)
    if declared[0] * declared[1] > MAX_PIXELS:
        raise ValueError(
            f"JPEG of {declared[0]}x{declared[1]} px, at most {MAX_PIXELS} px in all are decoded"
        )
    flags = _FLAGS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    with native_log() as complaint:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            raise ValueError(f"JPEG cannot be decoded: {error.err}") from error
    if image is None:
        raise ValueError(f"JPEG cannot be decoded: {complaint.text or 'truncated or corrupt'}")
    if any(sign in complaint.text for sign in _DAMAGED):
        raise ValueError(f"JPEG is damaged: {complaint.text}")
    got = (image.shape[1], image.shape[0])
    if reduction > 1:
        if got != (reduced(declared[0], reduction), reduced(declared[1], reduction)):
            raise ValueError(f"JPEG of {declared[0]}x{declared[1]} px decoded to {got[0]}x{got[1]} px")
        got = declared
    if (width, height) not in ((0, 0), got):
        raise ValueError(f"JPEG of {got[0]}x{got[1]} px in a frame announced as {width}x{height} px")
    return np.asarray(image, np.uint8)


def _yuv(flat: NDArray[np.uint8], encoding: str, width: int, height: int) -> Image:
    half_width, half_height = _half(width), _half(height)
    luma, chroma = flat[: width * height], flat[width * height :]
    # OpenCV converts even sizes only; the added column and row are cut off again.
    odd = (height % 2, width % 2)
    if any(odd):
        luma = np.pad(luma.reshape(height, width), ((0, odd[0]), (0, odd[1])), mode="edge").ravel()
        flat = np.concatenate([luma, chroma])
    planes = flat.reshape(half_height * 3, half_width * 2)
    code = cv2.COLOR_YUV2BGR_I420 if encoding == "i420" else cv2.COLOR_YUV2BGR_NV12
    return np.ascontiguousarray(cv2.cvtColor(planes, code)[:height, :width], np.uint8)
