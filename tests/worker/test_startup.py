# SPDX-License-Identifier: MPL-2.0
"""What stops the worker from starting is said in one line that names it and the remedy."""

import os

import numpy as np
import pytest
from tiny_models import constant, yolo_columns


def refusal(start, *arguments: object, **env: str) -> tuple[int, str]:
    """Exit status and the only line of the log of a worker that must not start."""
    worker = start(*arguments, **env)
    assert worker.read_to_end() == b""
    status = worker.wait()
    lines = [line for line in worker.stderr().splitlines() if not line.startswith(("[INFO]", "[DEBUG]"))]
    assert len(lines) == 1, lines
    assert lines[0].startswith("[ERROR] ")
    return status, lines[0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--confidence", "1.5"), "--confidence: 1.5 is not between 0 and 1"),
        (("--confidence", "much"), "--confidence: 'much' is not a number"),
        (("--confidence", "nan"), "--confidence: nan is not between 0 and 1"),
        (("--iou-threshold", "-0.1"), "--iou-threshold: -0.1 is not between 0 and 1"),
        (("--model-size", "huge"), "--model-size: invalid choice: 'huge'"),
        (("--detector", "ssd"), "--detector: invalid choice: 'ssd'"),
        (("--threads", "-1"), "--threads: '-1' is not a whole number from 0 to 1024"),
        (("--threads", "100000"), "--threads: '100000' is not a whole number"),
        (("--labels", "person,,car"), "--labels: an empty name is no label"),
        (("--log-level", "loud"), "--log-level: invalid choice: 'loud'"),
        (("--model", ""), "--model: '' is no path"),
        (("--model-320", "x.onnx"), "--model-320: needs --model as well"),
        (("--conf", "0.5"), "unrecognized arguments: --conf 0.5"),
        (("--confidence",), "--confidence: expected one argument"),
    ],
)
def test_a_wrong_flag_is_named(start, arguments, text):
    status, line = refusal(start, *arguments)
    assert status == 2
    assert text in line


def test_a_missing_model_is_named_with_the_remedy(start, tmp_path):
    status, line = refusal(start, "--model", tmp_path / "nowhere.onnx")
    assert status == 3
    assert f"{tmp_path}/nowhere.onnx does not exist" in line
    assert "set model" in line


def test_an_empty_model_directory_says_what_was_looked_for(start, tmp_path):
    constant(tmp_path / "yolo11s_fp32_640.onnx", yolo_columns([], 84), 64)
    status, line = refusal(start, "--model-dir", tmp_path)
    assert status == 3
    assert f"no model of size 'n' in {tmp_path}" in line
    assert "yolo11n*_fp32_640.onnx" in line
    assert ".onnx files there: yolo11s_fp32_640.onnx" in line
    assert "models/download_models.sh" in line and "model-dir" in line


def test_the_environment_gives_the_model_directory(start, tmp_path):
    status, line = refusal(start, ORION_MODEL_DIR=str(tmp_path / "from-env"))
    assert status == 3
    assert f"{tmp_path}/from-env" in line


def bad_model(tmp_path, kind: str):
    path = tmp_path / "bad.onnx"
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("this is no model\n" * 100)
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        whole = constant(tmp_path / "whole.onnx", yolo_columns([], 84), 64).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "nms inside":
        constant(path, np.zeros((1, 300, 6), np.float32), 640)
    elif kind == "flat":
        constant(path, np.zeros((1, 1000), np.float32), 64)
    elif kind == "grey":
        constant(path, yolo_columns([], 84), input_shape=[1, 1, 64, 64])
    elif kind == "no picture":
        constant(path, yolo_columns([], 84), input_shape=[1, 64])
    elif kind == "names":
        constant(path, yolo_columns([], 84), 64, names=["one", "two"])
    return path


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("directory", "is not a file; to search a directory, set model-dir"),
        ("text", "cannot load model"),
        ("empty", "cannot load model"),
        ("truncated", "cannot load model"),
        ("nms inside", "output shape (1, 300, 6) for a 640x640 input, expected (1, 4 + classes, n) or"),
        ("flat", "output shape (1, 1000)"),
        ("grey", "input shape [1, 1, 64, 64], expected (1, 3, height, width)"),
        ("no picture", "input shape [1, 64]"),
        ("names", "2 class names for 80 classes"),
    ],
)
def test_a_file_that_is_no_usable_model_is_named(start, tmp_path, kind, text):
    status, line = refusal(start, "--model", bad_model(tmp_path, kind))
    assert status == 3
    assert text in line
    assert f"{tmp_path}/bad.onnx" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_model_without_permission_is_named(start, tmp_path):
    model = constant(tmp_path / "m.onnx", yolo_columns([], 84), 64)
    model.chmod(0)
    assert "permission denied" in refusal(start, "--model", model)[1]


def test_the_wrong_decoder_for_a_model_is_an_error(start, tmp_path):
    model = constant(tmp_path / "m.onnx", yolo_columns([], 189), 96)
    status, line = refusal(start, "--model", model, "--detector", "yolox")
    assert status == 3
    assert "output shape (1, 84, 189) for a 96x96 input, expected (1, 189, 5 + classes)" in line


def test_two_models_with_different_classes_are_no_pair(start, tmp_path):
    large = constant(tmp_path / "l.onnx", yolo_columns([], 8400), 640)
    small = constant(tmp_path / "s.onnx", yolo_columns([], 2100, classes=3), 320)
    status, line = refusal(start, "--model", large, "--model-320", small)
    assert status == 3
    assert "l.onnx (yolo, 80 classes) and s.onnx (yolo, 3 classes)" in line


def test_an_unknown_label_is_named_with_those_the_model_knows(start, tmp_path):
    model = constant(tmp_path / "m.onnx", yolo_columns([], 84, classes=2), 64, names=["cat", "dog"])
    status, line = refusal(start, "--model", model)
    assert status == 3
    assert "unknown label 'person'; the model knows: cat, dog" in line


@pytest.mark.parametrize("provider", ["cuda", "abacus"])
def test_an_execution_provider_that_is_not_there_lists_those_that_are(start, tmp_path, provider):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and provider == "cuda":
        pytest.skip("this machine has CUDA")
    model = constant(tmp_path / "m.onnx", yolo_columns([], 84), 64)
    status, line = refusal(start, "--model", model, "--execution-provider", provider)
    assert status == 4
    assert f"execution provider '{provider}' is not available" in line
    assert line.endswith("has: cpu") or "cpu" in line


def test_help_and_version_go_to_standard_output(start):
    worker = start("--help")
    text = worker.read_to_end().decode()
    assert worker.wait() == 0
    assert "--execution-provider" in text and "Exit status" in text
    worker = start("--version")
    assert worker.read_to_end().decode() == "person_detector.py 0.1.0\n"
    assert worker.wait() == 0
