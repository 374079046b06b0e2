# SPDX-License-Identifier: MPL-2.0
"""Frames decoded from JPEG and from raw formats."""

import os

import cv2
import numpy as np
import pytest
from worker_process import jpeg

from orion_worker import images
from orion_worker.jpeg import jpeg_size
from orion_worker.nativelog import native_log

ODD_AND_EVEN = [(64, 48), (63, 48), (64, 47), (63, 47), (1, 1), (2, 1), (1, 2), (3, 3)]


def gradient(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width], axis=2).astype(np.uint8)


@pytest.mark.parametrize("size", ODD_AND_EVEN)
def test_rgb_and_bgr_differ_in_the_order_of_channels_only(size):
    image = gradient(*size)
    assert np.array_equal(images.decode(image.tobytes(), "bgr", *size), image)
    assert np.array_equal(images.decode(image[:, :, ::-1].tobytes(), "rgb", *size), image)


def yuv_planes(width: int, height: int, colour: tuple[int, int, int]) -> tuple[bytes, bytes, bytes]:
    y, u, v = colour
    chroma = ((width + 1) // 2) * ((height + 1) // 2)
    return bytes([y]) * (width * height), bytes([u]) * chroma, bytes([v]) * chroma


# BT.601 with 16..235: white, black, red, green, blue.
COLOURS = [
    ((235, 128, 128), (255, 255, 255)),
    ((16, 128, 128), (0, 0, 0)),
    ((81, 90, 240), (0, 0, 255)),
    ((145, 54, 34), (0, 255, 0)),
    ((41, 240, 110), (255, 0, 0)),
]


@pytest.mark.parametrize("size", ODD_AND_EVEN)
@pytest.mark.parametrize(("yuv", "bgr"), COLOURS)
def test_yuv_colours_come_out_right_in_all_sizes(size, yuv, bgr):
    y, u, v = yuv_planes(*size, yuv)
    interleaved = bytes(value for pair in zip(u, v, strict=True) for value in pair)
    for encoding, data in (("i420", y + u + v), ("nv12", y + interleaved)):
        image = images.decode(data, encoding, *size)
        assert image.shape == (size[1], size[0], 3)
        assert np.abs(image.astype(int) - bgr).max() <= 3


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_yuv_pixels_stay_where_they_are(size):
    width, height = size
    luma = np.full((height, width), 16, np.uint8)
    luma[height - 1, width - 1] = luma[0, 0] = luma[height // 2, 1] = 235
    chroma = b"\x80" * (2 * ((width + 1) // 2) * ((height + 1) // 2))
    for encoding in ("i420", "nv12"):
        image = images.decode(luma.tobytes() + chroma, encoding, *size)
        assert np.array_equal(image[:, :, 1] > 128, luma > 128)


def test_chroma_of_the_last_column_of_an_odd_frame_is_its_own():
    y = b"\x51" * 9
    u, v = b"\x80\x80\x80\x80", b"\x80\xf0\x80\xf0"
    image = images.decode(y + u + v, "i420", 3, 3)
    assert (image[:, 2, 2] > 200).all() and (image[:, :2, 2] < 100).all()


@pytest.mark.parametrize("encoding", ["rgb", "bgr", "i420", "nv12"])
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_raw_frame_of_the_wrong_length_is_refused(encoding, difference):
    size = images.raw_size(encoding, 63, 47)
    with pytest.raises(
        ValueError, match=f"{size + difference} bytes of {encoding} for 63x47 px, expected {size}"
    ):
        images.decode(bytes(size + difference), encoding, 63, 47)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="unknown format 'yuy2'"):
        images.decode(b"", "yuy2", 2, 2)


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (1, 1)])
def test_a_jpeg_is_decoded_with_and_without_its_size(size):
    image = gradient(*size)
    for given in (size, (0, 0)):
        got = images.decode(jpeg(image), "jpeg", *given)
        assert got.shape == image.shape
        assert np.abs(got.astype(int) - image).mean() < 8


def test_a_grey_jpeg_becomes_three_channels():
    data = cv2.imencode(".jpg", np.full((8, 8), 99, np.uint8))[1].tobytes()
    assert images.decode(data, "jpeg", 8, 8).shape == (8, 8, 3)


def test_a_jpeg_of_another_size_than_announced_names_both():
    with pytest.raises(ValueError, match="JPEG of 64x48 px in a frame announced as 32x48 px"):
        images.decode(jpeg(gradient(64, 48)), "jpeg", 32, 48)


def test_the_orientation_tag_is_ignored_because_boxes_refer_to_the_stored_picture():
    data = jpeg(gradient(64, 48))
    # EXIF with one entry: orientation (0x0112) = 6, a quarter turn.
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    tagged = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert cv2.imdecode(np.frombuffer(tagged, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert images.decode(tagged, "jpeg", 64, 48).shape == (48, 64, 3)


def noise() -> bytes:
    return jpeg(np.random.default_rng(1).integers(0, 255, (96, 128, 3), np.uint8))


@pytest.mark.parametrize("kept", [0.999, 0.9, 0.5, 0.1])
@pytest.mark.parametrize("tail", [b"", b"\xff\xd9"])
def test_a_truncated_jpeg_is_refused_even_when_it_ends_properly(kept, tail):
    data = noise()
    with pytest.raises(ValueError, match=r"JPEG|frame header"):
        images.decode(data[: int(len(data) * kept)] + tail, "jpeg", 0, 0)


def test_garbage_between_the_last_data_and_the_end_is_harmless():
    data = noise()
    assert images.decode(data[:-2] + b"\0\0\0" + data[-2:], "jpeg", 128, 96).shape == (96, 128, 3)


def test_another_picture_format_is_no_jpeg():
    data = cv2.imencode(".png", gradient(8, 8))[1].tobytes()
    with pytest.raises(ValueError, match="no JPEG"):
        images.decode(data, "jpeg", 8, 8)


def header(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xc0\x00\x11\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes(10)


def test_a_huge_jpeg_is_refused_by_its_header():
    with pytest.raises(ValueError, match="JPEG of 65535x65535 px, at most 35389440 px"):
        images.decode(header(65535, 65535), "jpeg", 0, 0)


def test_the_size_is_found_behind_other_segments_and_fill_bytes():
    data = header(640, 480)
    comment = b"\xff\xfe\x00\x08\xff\xc0abcd"
    assert jpeg_size(data[:2] + comment + b"\xff\xff\xff" + data[2:]) == (640, 480)
    assert jpeg_size(memoryview(jpeg(gradient(33, 77)))) == (33, 77)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no JPEG"),
        (b"\xff", "no JPEG"),
        (b"GIF89a", "no JPEG"),
        (b"\xff\xd8", "ends before its frame header"),
        (b"\xff\xd8\xff", "ends before its frame header"),
        (b"\xff\xd8\xff\xe0", "ends before its frame header"),
        (b"\xff\xd8\xff\xe0\x00\x00\xff\xd9", "no frame header before its data"),
        (b"\xff\xd8\xff\xda\x00\x08", "no frame header before its data"),
        (header(640, 480)[:9], "ends inside its frame header"),
        (header(0, 480), "declares 0x480 px"),
        (header(640, 0), "declares 640x0 px"),
    ],
)
def test_a_header_without_a_size_says_what_is_wrong(data, text):
    with pytest.raises(ValueError, match=text):
        jpeg_size(data)


def test_every_cut_of_a_header_is_survived():
    data = jpeg(gradient(16, 16))
    sizes = set()
    for end in range(len(data)):
        try:
            sizes.add(jpeg_size(data[:end]))
        except ValueError:
            continue
    assert sizes == {(16, 16)}


def test_what_a_library_prints_is_caught_and_nothing_is_lost_afterwards(capfd):
    for word in ("one", "two"):
        with native_log() as caught:
            os.write(2, word.encode() * 2)
        assert caught.text == word * 2
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_descriptors_are_not_used_up():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with pytest.raises(ValueError, match="no JPEG"):
            images.decode(b"x", "jpeg", 0, 0)
        images.decode(jpeg(gradient(8, 8)), "jpeg", 0, 0)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize("reduction", images.REDUCTIONS)
@pytest.mark.parametrize("size", [(64, 48), (63, 47), (641, 481), (9, 1)])
def test_a_jpeg_is_decoded_smaller_with_its_sides_rounded_up(size, reduction):
    whole = gradient(*size)
    small = images.decode(jpeg(whole), "jpeg", *size, reduction)
    assert small.shape == (-(-size[1] // reduction), -(-size[0] // reduction), 3)
    # A pixel of it is the mean of the square of the picture that it stands for.
    rows, columns = size[1] // reduction, size[0] // reduction
    if rows == 0:
        return
    squares = whole[: rows * reduction, : columns * reduction].reshape(rows, reduction, columns, reduction, 3)
    difference = np.abs(small[:rows, :columns] - squares.mean(axis=(1, 3)))
    assert np.median(difference) < 4, difference.max()


@pytest.mark.parametrize("reduction", images.REDUCTIONS)
def test_a_smaller_decoded_jpeg_is_checked_as_a_whole_one_is(reduction):
    noise = np.random.default_rng(1).integers(0, 255, (96, 128, 3), np.uint8)
    data = jpeg(noise)
    assert images.decode(data, "jpeg", 0, 0, reduction).shape[0] == 96 // reduction
    with pytest.raises(ValueError, match="damaged: Corrupt JPEG data: premature end"):
        images.decode(data[: len(data) // 2] + b"\xff\xd9", "jpeg", 0, 0, reduction)
    with pytest.raises(ValueError, match="128x96 px in a frame announced as 64x48 px"):
        images.decode(data, "jpeg", 64, 48, reduction)
    with pytest.raises(ValueError, match="at most"):
        images.decode(header(65535, 65535), "jpeg", 0, 0, reduction)


@pytest.mark.parametrize(
    ("size", "wanted", "expected"),
    [((100, 100), (50, 50), 2), ((99, 99), (50, 50), 2), ((98, 99), (50, 50), 1), ((8, 8), (1, 1), 8)],
)
def test_a_reduction_never_makes_a_picture_smaller_than_wanted(size, wanted, expected):
    assert images.reduction_for(size, wanted) == expected
