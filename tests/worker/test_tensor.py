# SPDX-License-Identifier: MPL-2.0
"""A network's input, laid out in memory that is used again, is what it would be made anew."""

import cv2
import numpy as np
import pytest

from orion_worker.letterbox import GREY, Letterbox
from orion_worker.tensor import Layout, Tensor, Tensors
from orion_worker.yolo import Yolo
from orion_worker.yolox import Yolox, cells

RANDOM = np.random.default_rng(20261122)
SIDE = 96


def picture(width: int, height: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3)).astype(np.uint8)


def made_anew(image: np.ndarray, box: Letterbox, layout: Layout) -> np.ndarray:
    canvas = np.full((box.input_height, box.input_width, 3), GREY, np.uint8)
    scaled = cv2.resize(image, (box.scaled_width, box.scaled_height))
    canvas[box.top : box.top + box.scaled_height, box.left : box.left + box.scaled_width] = scaled
    planes = canvas[:, :, list(layout.channels)].transpose(2, 0, 1)[None]
    return planes * np.float32(layout.factor)


@pytest.mark.parametrize("head", [Yolo(80), Yolox(80, cells(SIDE, SIDE))], ids=["yolo", "yolox"])
def test_every_picture_lies_in_it_as_if_it_were_the_first(head):
    tensor = Tensor(SIDE, SIDE, head.layout)
    sizes = [
        (128, 72),
        (72, 128),
        (SIDE, SIDE),
        (SIDE, 54),
        (33, 517),
        (1, 1),
        (128, 72),
        (128, 72),
        (2, 900),
    ]
    for size in sizes:
        image = picture(*size)
        box = Letterbox.fit(size, (SIDE, SIDE), head.anchor)
        tensor.fill(image, box)
        assert np.array_equal(tensor.blob, made_anew(image, box, head.layout)), size


def test_a_part_of_a_picture_and_a_read_only_one_are_fine_and_stay_as_they_are():
    whole = picture(200, 150)
    frozen = np.frombuffer(whole.tobytes(), np.uint8).reshape(whole.shape)
    tensor = Tensor(SIDE, SIDE, Yolo(80).layout)
    for part in (whole[20:116, 30:126], frozen, frozen[7:100, 1:90]):
        before = part.copy()
        box = Letterbox.fit((part.shape[1], part.shape[0]), (SIDE, SIDE), "centre")
        tensor.fill(part, box)
        assert np.array_equal(tensor.blob, made_anew(before, box, Yolo(80).layout))
        assert np.array_equal(part, before)


def test_the_bars_are_where_the_letterbox_says():
    image = np.full((100, 200, 3), 200, np.uint8)
    for anchor, rows in (("centre", slice(8, 24)), ("top_left", slice(0, 16))):
        tensor = Tensor(32, 32, Layout((0, 1, 2), 1.0))
        tensor.fill(image, Letterbox.fit((200, 100), (32, 32), anchor))
        expected = np.full((1, 3, 32, 32), GREY, np.float32)
        expected[:, :, rows] = 200
        assert np.array_equal(tensor.blob, expected)


def test_nothing_is_allocated_for_a_picture_like_the_last_one():
    tensor = Tensor(640, 640, Yolo(80).layout)
    image, box = picture(1280, 720), Letterbox.fit((1280, 720), (640, 640), "centre")
    tensor.fill(image, box)
    import tracemalloc

    tracemalloc.start()
    try:
        for _ in range(3):
            tensor.fill(image, box)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_as_many_tensors_are_made_as_are_in_use_at_a_time():
    made = []

    def make():
        made.append(Tensor(8, 8, Yolo(80).layout))
        return made[-1], lambda: made[-1].blob

    tensors = Tensors(make)
    current = tensors.take()
    for _ in range(10):  # one is inferred while the next is laid out
        following = tensors.take()
        assert following[0] is not current[0]
        tensors.give_back(current)
        current = following
    assert len(made) == 2
