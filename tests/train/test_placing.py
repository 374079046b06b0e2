# SPDX-License-Identifier: MPL-2.0
import numpy as np
import pytest

from orion_train.placing import Window, cells_of, fit, sort_out

BOX = np.array([[10, 20, 30, 60]], np.float32)


def test_a_box_follows_its_picture():
    window = Window((0, 0, 100, 100), (40, 60, 50, 200), flip=False)
    boxes, visible = window.map(BOX)
    assert boxes.tolist() == [[45, 100, 55, 180]]
    assert visible.tolist() == [1]


def test_a_mirrored_picture_mirrors_its_boxes():
    boxes, _ = Window((0, 0, 100, 100), (0, 0, 100, 100), flip=True).map(BOX)
    assert boxes.tolist() == [[70, 20, 90, 60]]


def test_a_cut_box_ends_at_the_window_and_says_how_much_is_left():
    boxes, visible = Window((20, 0, 50, 50), (0, 0, 50, 50), flip=False).map(BOX)
    assert boxes.tolist() == [[0, 20, 10, 50]]
    assert visible == pytest.approx([0.5 * 0.75])


def test_a_box_outside_the_window_has_nothing_left():
    boxes, visible = Window((50, 0, 50, 100), (0, 0, 50, 100), flip=False).map(BOX)
    assert visible.tolist() == [0]
    assert all(len(part) == 0 for part in sort_out(boxes, visible))


def test_persons_cut_too_far_or_too_small_are_ignored_and_not_taught():
    boxes = np.array([[0, 0, 20, 40], [0, 0, 20, 40], [0, 0, 2, 4]], np.float32)
    taught, ignored = sort_out(boxes, np.array([1, 0.1, 1], np.float32))
    assert len(taught) == 1
    assert len(ignored) == 2


@pytest.mark.parametrize("seed", range(30))
def test_a_picture_stays_in_its_cell_and_its_focus_in_the_picture(seed):
    rng = np.random.default_rng(seed)
    scale = float(rng.uniform(0.3, 3))
    window = fit(rng, (200, 150), (30, 40, 100, 80), (scale, scale), focus=(190, 20))
    x, y, width, height = window.target
    assert x >= 30
    assert y >= 40
    assert x + width <= 130
    assert y + height <= 120
    left, top, source_width, source_height = window.source
    assert left <= 190 < left + source_width
    assert top <= 20 < top + source_height
    assert left + source_width <= 200
    assert top + source_height <= 150


@pytest.mark.parametrize("seed", range(30))
def test_a_picture_keeps_its_proportions(seed):
    rng = np.random.default_rng(seed)
    scale = float(rng.uniform(0.3, 3))
    window = fit(rng, (200, 150), (0, 0, 160, 160), (scale, scale), focus=None)
    for axis in (2, 3):
        assert window.target[axis] == pytest.approx(window.source[axis] * scale, abs=scale + 1)


@pytest.mark.parametrize("count", [2, 3])
def test_cells_cover_the_canvas_once(count):
    canvas = np.zeros((224, 224), int)
    for x, y, width, height in cells_of(np.random.default_rng(count), 224, count):
        canvas[y : y + height, x : x + width] += 1
    assert (canvas == 1).all()
