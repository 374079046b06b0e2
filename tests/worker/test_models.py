# SPDX-License-Identifier: MPL-2.0
"""Model files found by size and paired."""

import pytest

from orion_worker.errors import ModelError
from orion_worker.models import find, pair, size_of


@pytest.mark.parametrize(
    ("names", "size", "expected"),
    [
        (
            ["yolo11n_fp32_640.onnx", "yolo11n_fp32_320.onnx"],
            "n",
            ("yolo11n_fp32_640.onnx", "yolo11n_fp32_320.onnx"),
        ),
        (["yoloxn_fp32_640.onnx", "yolo11n_fp32_640.onnx"], "n", ("yolo11n_fp32_640.onnx", None)),
        (["yoloxn_fp32_640.onnx", "yolov8n_fp32_640.onnx"], "n", ("yolov8n_fp32_640.onnx", None)),
        # The 320 file of another family is no partner.
        (["yolo11n_fp32_640.onnx", "yolov8n_fp32_320.onnx"], "n", ("yolo11n_fp32_640.onnx", None)),
        # A family without a 640 file is passed over.
        (
            ["yolo11n_fp32_320.onnx", "yoloxn_fp32_640.onnx", "yoloxn_fp32_320.onnx"],
            "n",
            ("yoloxn_fp32_640.onnx", "yoloxn_fp32_320.onnx"),
        ),
        (
            ["yolov8s_standin_fp32_640.onnx", "yolov8s_a_fp32_320.onnx", "yolov8s_standin_fp32_320.onnx"],
            "s",
            ("yolov8s_standin_fp32_640.onnx", "yolov8s_standin_fp32_320.onnx"),
        ),
        (["yolo11-x_fp16_640.onnx"], "x", ("yolo11-x_fp16_640.onnx", None)),
        (["yolo11_m_coco_v2_fp32_640.onnx"], "m", ("yolo11_m_coco_v2_fp32_640.onnx", None)),
        (["yolox_nano_416_rawgrid.onnx", "yolox_nano.onnx"], "n", ("yolox_nano.onnx", None)),
        (["yolox_nano_416_rawgrid.onnx"], "n", ("yolox_nano_416_rawgrid.onnx", None)),
        (["yolox_nano.onnx", "yoloxn_fp32_640.onnx"], "n", ("yoloxn_fp32_640.onnx", None)),
        (["yolox_nano.onnx"], "s", None),
        (["yolo11n_fp32_640.onnx"], "s", None),
        (["yolo11n_fp32_640.onnx.part", "my_yolo11n_fp32_640.onnx", "yolo11n_640.onnx"], "n", None),
        ([], "n", None),
    ],
)
def test_files_are_paired_by_size_family_and_name(names, size, expected):
    assert pair(names, size) == expected
    assert pair(reversed(names), size) == expected


@pytest.mark.parametrize(
    ("name", "size"),
    [("yolov8s_standin_fp32_640.onnx", "s"), ("yolox_nano_416_rawgrid.onnx", "n"), ("my_model.onnx", None)],
)
def test_the_size_is_in_the_name(name, size):
    assert size_of(name) == size


def test_found_files_are_paths_in_the_directory(tmp_path):
    for name in ("yoloxn_fp32_640.onnx", "yoloxn_fp32_320.onnx", "notes.txt"):
        (tmp_path / name).touch()
    files = find(tmp_path, "n")
    assert (files.file_640, files.file_320) == (
        tmp_path / "yoloxn_fp32_640.onnx",
        tmp_path / "yoloxn_fp32_320.onnx",
    )


@pytest.mark.parametrize("make", ["missing", "file"])
def test_a_directory_that_cannot_be_read_is_named(tmp_path, make):
    path = tmp_path / "weights"
    if make == "file":
        path.touch()
    with pytest.raises(ModelError, match=f"model directory {path}: .*download_models.sh"):
        find(path, "n")
