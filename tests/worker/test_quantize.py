# SPDX-License-Identifier: MPL-2.0
"""INT8 models are held against their originals; one that finds nobody is never written."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tiny_models import constant, red_finder_yolo, yolo_columns

from orion_worker import cache
from orion_worker.candidates import Candidates
from orion_worker.errors import UsageError
from orion_worker.quantize import frames, graph
from orion_worker.quantize.agreement import compare
from orion_worker.quantize.cli import main


def found(*rows: tuple[float, ...]) -> Candidates:
    table = np.array(rows, float).reshape(-1, 6)
    return Candidates(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def test_boxes_are_found_again_lost_or_new():
    original = [found((0, 0, 10, 10, 0.9, 0), (50, 50, 60, 60, 0.8, 0)), found()]
    other = [found((0, 0, 10, 8, 0.7, 0), (80, 80, 90, 90, 0.8, 0)), found((0, 0, 5, 5, 0.5, 0))]
    agreement = compare(original, other)
    assert (agreement.again, agreement.lost, agreement.new) == (1, 1, 2)
    assert agreement.iou == pytest.approx(0.8)
    assert agreement.confidence == pytest.approx(-0.2)
    assert agreement.share == pytest.approx(2 / 5)


def test_one_box_does_not_stand_for_two_and_classes_count():
    twice = [found((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 9, 0.8, 0))]
    assert compare(twice, [found((0, 0, 10, 10, 0.9, 0))]).again == 1
    assert compare(twice, [found((0, 0, 10, 10, 0.9, 1))]).again == 0
    assert compare([found()], [found()]).share == 0


def with_convolutions(path: Path, before: int, after: int) -> Path:
    """The red finder with convolutions that change nothing in the end, on its picture and on its boxes.

    Of those on the boxes the first makes coordinates ten times larger and the last smaller again: in one
    tensor of 8 bits with numbers up to 900, scores up to 1 are gone.
    """
    model = onnx.load(str(red_finder_yolo(path, 96)))
    nodes = model.graph.node
    image = ["images", *(f"image_{number}" for number in range(before))]
    boxes = [*(f"boxes_{number}" for number in range(after)), "output"]
    for node in nodes:
        node.input[:] = [image[-1] if name == "images" else name for name in node.input]
        node.output[:] = [boxes[0] if name == "output" else name for name in node.output]
    for at, (given, made) in enumerate(itertools.pairwise(image)):
        nodes.insert(at, convolution(model, given, made, np.ones(3), 2))
    for at, (given, made) in enumerate(itertools.pairwise(boxes)):
        factor = 10.0 if at == 0 else 0.1 if at == after - 1 else 1.0
        nodes.append(convolution(model, given, made, np.array([factor] * 4 + [1.0] * 80), 1))
    helper.set_model_props(model, {"made": "here"})
    onnx.save(model, str(path))
    return path


def convolution(model, given: str, made: str, factors: np.ndarray, dims: int):
    """A node that multiplies each channel; its weights go into the model."""
    weights = np.diag(factors).astype(np.float32).reshape(len(factors), len(factors), *[1] * dims)
    model.graph.initializer.append(numpy_helper.from_array(weights, f"to_{made}"))
    return helper.make_node("Conv", [given, f"to_{made}"], [made])


def pictures(folder: Path, count: int = 12, red: bool = True) -> Path:
    folder.mkdir()
    for number in range(count):
        image = np.full((72, 96, 3), 60, np.uint8)
        if red:
            image[20:50, 50 + number : 90] = (20, 20, 230)
        cv2.imwrite(str(folder / f"{number:02}.png"), image)
    return folder


@pytest.fixture
def quantize(capsys, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "off")  # as the tool does; set back after the test

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([*map(str, arguments), "--threads", "1"])
        return status, *capsys.readouterr()

    return run


def test_a_pair_is_written_with_a_report_and_runs_in_the_worker(tmp_path, start, quantize):
    large = with_convolutions(tmp_path / "yolo11n_fp32_640.onnx", 2, 0)
    small = with_convolutions(tmp_path / "yolo11n_fp32_320.onnx", 1, 2)
    images = pictures(tmp_path / "pictures")
    status, output, errors = quantize(large, small, "--images", images, "--output", tmp_path / "int8")
    assert status == 0, errors
    assert "6 frames to calibrate with, 6 others to judge by" in output
    assert output.count("found again 6 of 6 (0 lost, 0 new; agreement 1.000)") == 2
    assert output.count("of the original's time on this machine") == 2
    assert output.count("the last 3 convolutions before the outputs keep 32 bits") == 1
    names = sorted(file.name for file in (tmp_path / "int8").iterdir())
    assert names == ["yolo11n_int8_320.onnx", "yolo11n_int8_640.onnx"]
    model = onnx.load(str(tmp_path / "int8" / names[1]))
    assert {item.key: item.value for item in model.metadata_props} == {
        "made": "here",
        "orion.quantized_from": "yolo11n_fp32_640.onnx",
    }
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    worker = start("--model-dir", tmp_path / "int8")
    assert worker.ready()["models"]["file_320"] == "yolo11n_int8_320.onnx"


def test_a_model_that_finds_nobody_any_more_is_refused(tmp_path, quantize):
    good = with_convolutions(tmp_path / "good.onnx", 1, 0)
    broken = with_convolutions(tmp_path / "broken.onnx", 0, 6)
    images = pictures(tmp_path / "pictures")
    before = sorted(file.name for file in tmp_path.iterdir())
    status, output, errors = quantize(good, broken, "--images", images)
    assert status == 3
    assert "[ERROR] broken.onnx: INT8 does not agree with the original" in errors
    assert "with 3 convolutions left alone 0 of 6 boxes found again, 0 new" in errors
    assert "written" not in output
    # All or nothing.
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_frames_in_which_nothing_is_found_judge_nothing(tmp_path, quantize):
    model = with_convolutions(tmp_path / "m.onnx", 1, 0)
    status, _, errors = quantize(model, "--images", pictures(tmp_path / "empty", red=False))
    assert status == 3
    assert "m.onnx finds no person in any of 6 frames, so nothing can be judged" in errors


def test_wrong_input_is_named(tmp_path):
    few = pictures(tmp_path / "few", 3)
    broken = pictures(tmp_path / "broken", 8)
    (broken / "07.png").write_text("no picture")
    (tmp_path / "clip.mp4").write_text("no recording")
    for call, argument, text in (
        (frames.from_folder, few, "few: 3 pictures (.jpg, .jpeg, .png, .bmp, .webp), at least 8 are needed"),
        (frames.from_folder, broken, "07.png is no picture"),
        (frames.from_folder, tmp_path / "none", "--images .*none: No such file"),
        (frames.from_video, tmp_path / "none.mp4", "none.mp4: no such file"),
        (frames.from_video, tmp_path / "clip.mp4", "0 frames that can be decoded"),
    ):
        with pytest.raises(UsageError, match=text.replace("(", r"\(").replace(")", r"\)")):
            call(argument, 100)


def test_frames_are_spread_over_all_there_are(tmp_path):
    folder = pictures(tmp_path / "many", 30)
    chosen = frames.from_folder(folder, 10)
    lefts = [int((image[30, :, 2] > 200).argmax()) for image in chosen]
    assert len(chosen) == 10 and lefts[0] == 50 and lefts[-1] == 79
    calibrate, hold = frames.split(chosen)
    assert len(calibrate) == len(hold) == 5


def test_a_model_that_is_not_there_and_a_half_precision_one_are_named(tmp_path, quantize):
    images = pictures(tmp_path / "pictures")
    status, _, errors = quantize(tmp_path / "none.onnx", "--images", images)
    assert (status, errors) == (3, f"[ERROR] model file {tmp_path}/none.onnx does not exist\n")
    status, _, errors = quantize(tmp_path / "none.onnx")
    assert status == 2 and "--images --video is required" in errors
    columns = yolo_columns([[32, 32, 16, 16, 0.75]], 84)
    half = constant(tmp_path / "h.onnx", columns, 64, kind=onnx.TensorProto.FLOAT16)
    status, _, errors = quantize(half, "--images", images)
    assert status == 3 and "quantise the fp32 model" in errors


def test_only_what_lies_behind_the_last_convolutions_is_left_alone():
    node = helper.make_node
    nodes = [
        node("Conv", ["in", "w"], ["a"], name="first"),
        node("Relu", ["a"], ["b"], name="middle"),
        node("Conv", ["b", "w"], ["c"], name="last"),
        node("Sigmoid", ["c"], ["d"], name="score"),
        node("Concat", ["d", "b"], ["out"], name="joined", axis=1),
    ]
    graph_of = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("in", onnx.TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph_of)
    assert graph.behind(model, 0) == {"score", "joined", "middle"}
    assert graph.behind(model, 1) == {"score", "joined", "middle", "last", "first"}
