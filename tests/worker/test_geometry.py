# SPDX-License-Identifier: MPL-2.0
"""Regions, clipping, the suggested region, letterbox and suppression on plain values."""

import numpy as np
import pytest

from orion_worker.candidates import Candidates
from orion_worker.detector import NormRect
from orion_worker.geometry import PixelRect, clip, pixel_region, problem_of, suggested_region
from orion_worker.letterbox import Letterbox
from orion_worker.nms import MAX_KEPT, suppress

RANDOM = np.random.default_rng(20250314)


def random_sizes(count: int) -> list[tuple[int, int]]:
    return [(int(w), int(h)) for w, h in RANDOM.integers(1, 4000, (count, 2))]


@pytest.mark.parametrize("anchor", ["centre", "top_left"])
def test_letterbox_and_its_inverse_cancel_out(anchor):
    for size in random_sizes(500):
        box = Letterbox.fit(size, (640, 640), anchor)
        corners = RANDOM.uniform(0, 1, (20, 4)) * [*size, *size]
        assert np.abs(box.to_source(box.to_input(corners)) - corners).max() < 1e-3


@pytest.mark.parametrize("anchor", ["centre", "top_left"])
def test_a_letterbox_fills_the_input_in_one_direction_and_keeps_proportions(anchor):
    for size in random_sizes(500):
        box = Letterbox.fit(size, (416, 640), anchor)
        assert box.scaled_width == 416 or box.scaled_height == 640
        assert 0 <= box.left <= 416 - box.scaled_width and 0 <= box.top <= 640 - box.scaled_height
        ratio = min(416 / size[0], 640 / size[1])
        assert abs(box.scaled_width - size[0] * ratio) <= 1 and abs(box.scaled_height - size[1] * ratio) <= 1


def test_whole_pixels_survive_the_round_trip_within_a_pixel_of_the_input():
    for size in random_sizes(200):
        box = Letterbox.fit(size, (640, 640), "centre")
        corners = np.sort(RANDOM.integers(0, [*size, *size], (20, 4)).astype(float), axis=1)
        back = box.to_source(np.round(box.to_input(corners)))
        per_pixel = max(1.0, size[0] / box.scaled_width, size[1] / box.scaled_height)
        assert np.abs(back - corners).max() < per_pixel


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [
        ((1280, 720), 640, 2),
        ((1280, 720), 320, 4),
        ((1279, 719), 640, 2),  # halves are rounded up
        ((1278, 720), 640, 1),
        ((1920, 1080), 640, 2),
        ((3840, 2160), 416, 8),
        ((640, 427), 320, 2),
        ((641, 480), 640, 1),
        ((64, 48), 640, 1),
        ((1, 5000), 64, 8),
    ],
)
def test_a_picture_is_decoded_as_small_as_it_need_not_be_enlarged(size, target, expected):
    assert Letterbox.fit(size, (target, target), "centre").reduction() == expected


@pytest.mark.parametrize(
    ("rect", "expected"),
    [
        (NormRect(0, 0, 1, 1), PixelRect(0, 0, 640, 480)),
        (NormRect(0.1, 0.1, 0.3, 0.3), PixelRect(64, 48, 192, 144)),
        (NormRect(0.1001, 0.1, 0.3, 0.3), PixelRect(64, 48, 193, 144)),
        (NormRect(0.5, 0.5, 1e-9, 1e-9), PixelRect(320, 240, 2, 2)),
        (NormRect(1, 1, 1e-9, 1e-9), PixelRect(638, 478, 2, 2)),
        (NormRect(0.999999, 0, 0.000001, 1), PixelRect(638, 0, 2, 480)),
    ],
)
def test_a_region_is_rounded_outward_and_never_too_small(rect, expected):
    assert pixel_region(rect, 640, 480) == expected


def test_any_valid_region_lies_in_any_frame():
    for width, height in [(1, 1), (2, 3), *random_sizes(300)]:
        x, y = RANDOM.uniform(0, 1, 2)
        rect = NormRect(x, y, RANDOM.uniform(0, 1 - x), RANDOM.uniform(0, 1 - y))
        region = pixel_region(rect, width, height)
        assert region.x >= 0 and region.y >= 0
        assert region.x + region.width <= width and region.y + region.height <= height
        assert region.width >= min(2, width) and region.height >= min(2, height)


@pytest.mark.parametrize(
    ("rect", "text"),
    [
        (NormRect(float("nan"), 0, 1, 1), "x is not a finite number"),
        (NormRect(0, 0, float("inf"), 1), "width is not a finite number"),
        (NormRect(-0.1, 0, 1, 1), "x -0.1 is not between 0 and 1"),
        (NormRect(0, 1.1, 1, 1), "y 1.1 is not between 0 and 1"),
        (NormRect(0, 0, 0, 1), "width 0 is not above 0"),
        (NormRect(0, 0, 1, -1), "height -1 is not above 0"),
        (NormRect(0.5, 0, 0.6, 1), "x + width 1.1 is above 1"),
        (NormRect(0, 0.5, 1, 0.75), "y + height 1.25 is above 1"),
    ],
)
def test_what_is_wrong_with_a_region_is_said(rect, text):
    assert problem_of(rect) == text


def test_a_region_that_sums_to_one_within_rounding_is_fine():
    assert problem_of(NormRect(0.7, 0.1, 0.3 + 1e-9, 0.9)) is None


def test_clipping_empties_what_lies_outside():
    boxes = np.array([[-10, -10, 20, 20], [90, 90, 200, 200], [200, 200, 300, 300]], float)
    clipped = clip(boxes, PixelRect(0, 0, 100, 100))
    assert clipped.tolist() == [[0, 0, 20, 20], [90, 90, 100, 100], [100, 100, 100, 100]]


def test_the_suggested_region_is_the_union_grown_by_fifteen_percent():
    boxes = np.array([[100, 100, 200, 300], [300, 200, 500, 400]], float)
    got = suggested_region(boxes, 1000, 500)
    assert (got.x, got.y) == pytest.approx((0.1 - 0.4 * 0.075, 0.2 - 0.6 * 0.075))
    assert (got.width, got.height) == pytest.approx((0.4 * 1.15, 0.6 * 1.15))


def test_the_suggested_region_stays_in_the_frame():
    got = suggested_region(np.array([[0, 0, 990, 500]], float), 1000, 500)
    assert (got.x, got.y, got.width, got.height) == (0, 0, 1, 1)


def test_without_a_box_nothing_is_suggested():
    assert suggested_region(np.empty((0, 4)), 640, 480) is None


def candidates(*rows: tuple[float, ...]) -> Candidates:
    table = np.array(rows, float).reshape(-1, 6)
    return Candidates(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def test_suppression_keeps_the_best_of_each_class_most_confident_first():
    found = candidates(
        (0, 0, 10, 10, 0.5, 0),
        (1, 0, 11, 10, 0.8, 0),
        (0, 0, 10, 10, 0.6, 1),
        (50, 50, 60, 60, 0.9, 0),
    )
    kept = suppress(found, 0.45)
    assert kept.scores.tolist() == [0.9, 0.8, 0.6]
    assert kept.classes.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("threshold", "count"), [(0.33, 1), (0.34, 2)])
def test_overlap_is_intersection_over_union(threshold, count):
    # Half of each box is shared: 50 of 150 px.
    found = candidates((0, 0, 10, 10, 0.9, 0), (5, 0, 15, 10, 0.8, 0))
    assert len(suppress(found, threshold).scores) == count


def test_suppression_of_nothing_is_nothing():
    assert len(suppress(candidates(), 0.5).scores) == 0


def test_very_many_boxes_are_bounded():
    corners = RANDOM.uniform(0, 5000, (20000, 2))
    boxes = np.concatenate([corners, corners + 4], axis=1)
    kept = suppress(Candidates(boxes, RANDOM.uniform(0, 1, 20000), np.zeros(20000, np.int64)), 0.45)
    assert len(kept.scores) == MAX_KEPT
