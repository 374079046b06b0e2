# SPDX-License-Identifier: MPL-2.0
import numpy as np
import pytest

from orion_train.grid import cells, decode, encode


@pytest.mark.parametrize(("side", "count"), [(320, 2100), (640, 8400)])
def test_an_input_has_the_cells_that_the_worker_counts(side, count):
    from orion_worker.yolox import cell_count

    assert len(cells(side, side)[0]) == count == cell_count(side, side)


def test_a_cell_stands_for_its_middle():
    points, strides = cells(64, 32)
    assert points[0].tolist() == [4, 4]
    assert points[1].tolist() == [12, 4]
    assert points[-1].tolist() == [48, 16]
    assert strides[[0, -1]].tolist() == [8, 32]


def test_sides_that_the_strides_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiples of 32"):
        cells(320, 330)


def test_raw_sides_and_boxes_turn_into_each_other():
    points, strides = cells(64, 64)
    boxes = np.array([[-3.0, -5.0, 70.0, 90.0]] * len(points), np.float32)
    assert decode(encode(boxes, points, strides), points, strides) == pytest.approx(boxes, abs=0.01)


def test_a_raw_side_of_zero_is_log_2_strides_long():
    points, strides = cells(32, 32)
    boxes = decode(np.zeros((len(points), 4), np.float32), points, strides)
    assert (boxes[:, 2] - boxes[:, 0]) / strides == pytest.approx(2 * np.log(2))
