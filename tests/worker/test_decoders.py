# SPDX-License-Identifier: MPL-2.0
"""Outputs of the three layouts decoded from plain arrays, and the choice between them."""

import numpy as np
import pytest

from orion_worker.errors import MessageError
from orion_worker.labels import COCO, class_names, label_ids
from orion_worker.letterbox import Letterbox
from orion_worker.network import head_for
from orion_worker.tensor import Tensor
from orion_worker.yolo import Yolo
from orion_worker.yolox import Yolox, cell_count, cells

PERSON = np.array([0])


@pytest.mark.parametrize(
    ("kind", "shape", "size", "expected", "classes"),
    [
        ("auto", (1, 84, 8400), (640, 640), Yolo, 80),
        ("auto", (1, 84, 2100), (320, 320), Yolo, 80),
        ("auto", (1, 5, 8400), (640, 640), Yolo, 1),
        ("auto", (1, 84, 33600), (640, 640), Yolo, 80),  # a head with stride 4 as well
        ("auto", (1, 3549, 85), (416, 416), Yolox, 80),
        ("auto", (1, 8400, 6), (640, 640), Yolox, 1),
        ("auto", (1, 5040, 85), (768, 320), Yolox, 80),
        # 4 + 80 rows and 84 cells: both fit, and the columns are by far the more common export.
        ("auto", (1, 84, 84), (64, 64), Yolo, 80),
        ("yolox", (1, 84, 84), (64, 64), Yolox, 79),
    ],
)
def test_the_decoder_is_chosen_by_the_shape_of_the_output(kind, shape, size, expected, classes):
    head = head_for(kind, shape, size)
    assert isinstance(head, expected)
    assert head.class_count == classes


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("auto", (1, 300, 6)),
        ("auto", (1, 8400, 5)),
        ("auto", (2, 84, 8400)),
        ("auto", (1, 4, 8400)),
        ("auto", (84, 8400)),
        ("auto", (1, 84, 80, 80)),
        ("yolo", (1, 8400, 85)),
        ("yolox", (1, 84, 8400)),
        ("yolox", (1, 3549, 85)),
    ],
)
def test_a_shape_that_fits_no_decoder_is_refused(kind, shape):
    with pytest.raises(ValueError, match=r"output shape .* for a 640x640 input, expected"):
        head_for(kind, shape, (640, 640))


def test_yolo_columns_become_corners():
    output = np.zeros((1, 84, 10), np.float32)
    output[0, :5, 3] = [100, 50, 20, 10, 0.8]
    output[0, :5, 7] = [10, 10, 2, 2, 0.3]
    found = Yolo(80).decode(output, PERSON, 0.5)
    assert found.boxes.tolist() == [[90, 45, 110, 55]]
    assert found.scores == pytest.approx([0.8])
    assert found.classes.tolist() == [0]


def test_a_box_whose_best_class_is_another_one_is_left_out():
    output = np.zeros((1, 84, 10), np.float32)
    output[0, [4, 6], 3] = [0.7, 0.9]
    assert len(Yolo(80).decode(output, PERSON, 0.5).scores) == 0
    assert Yolo(80).decode(output, np.array([0, 2]), 0.5).classes.tolist() == [2]


def test_a_score_equal_to_the_threshold_counts():
    output = np.zeros((1, 5, 10), np.float32)
    output[0, 4, 0] = 0.5
    assert len(Yolo(1).decode(output, PERSON, 0.5).scores) == 1


def test_yolox_rows_are_relative_to_their_cell():
    head = Yolox(80, cells(64, 64))
    output = np.zeros((1, 84, 85), np.float32)
    # Cell 64 + 5 is the second row, second column of the 4 by 4 grid with stride 16.
    output[0, 64 + 5, :6] = [0.5, 0.25, np.log(2), np.log(0.5), 0.9, 0.8]
    found = head.decode(output, PERSON, 0.5)
    centre_x, centre_y = (1 + 0.5) * 16, (1 + 0.25) * 16
    assert found.boxes == pytest.approx(
        np.array([[centre_x - 16, centre_y - 4, centre_x + 16, centre_y + 4]])
    )
    assert found.scores == pytest.approx([0.72])


def test_cells_are_ordered_by_stride_then_row_then_column():
    grid = cells(64, 32)
    assert len(grid) == cell_count(64, 32) == 32 + 8 + 2
    assert grid[0].tolist() == [0, 0, 8]
    assert grid[8].tolist() == [0, 1, 8]
    assert grid[33].tolist() == [1, 0, 16]
    assert grid[-1].tolist() == [1, 0, 32]


def test_blobs_have_the_order_and_range_each_network_was_trained_with():
    image = np.full((2, 2, 3), (255, 51, 0), np.uint8)  # blue, green, red
    for head, expected in ((Yolo(80), [0, 0.2, 1]), (Yolox(80, cells(64, 64)), [255, 51, 0])):
        tensor = Tensor(2, 2, head.layout)
        tensor.fill(image, Letterbox.fit((2, 2), (2, 2), head.anchor))
        assert tensor.blob[0, :, 1, 1] == pytest.approx(expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_an_error(value):
    output = np.zeros((1, 84, 10), np.float32)
    output[0, 4, 0] = value
    with pytest.raises(MessageError, match="scores are not finite"):
        Yolo(80).decode(output, PERSON, 0.5)


def test_a_size_beyond_all_numbers_is_an_error():
    output = np.zeros((1, 84, 85), np.float32)
    output[0, 0, :6] = [0, 0, 1000, 0, 1, 1]
    with pytest.raises(MessageError, match="boxes are not finite"):
        Yolox(80, cells(64, 64)).decode(output, PERSON, 0.5)


def test_coco_has_eighty_classes_and_person_is_the_first():
    assert len(COCO) == len(set(COCO)) == 80
    assert (COCO[0], COCO[16], COCO[79]) == ("person", "dog", "toothbrush")


def test_class_names_are_the_models_own_then_cocos_then_numbers():
    assert class_names(["a", "b"], 2) == ["a", "b"]
    assert class_names(None, 80) == COCO
    assert class_names(None, 2) == ["class_0", "class_1"]
    with pytest.raises(ValueError, match="3 class names for 2 classes"):
        class_names(["a", "b", "c"], 2)


def test_labels_become_class_numbers():
    assert label_ids(["dog", "person"], COCO).tolist() == [0, 16]
    with pytest.raises(ValueError, match="unknown label 'Person'"):
        label_ids(["Person"], COCO)
    with pytest.raises(ValueError, match="no label"):
        label_ids([], COCO)
