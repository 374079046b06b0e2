# SPDX-License-Identifier: MPL-2.0
"""The person detector as a process, on models whose answer is known."""

import numpy as np
import pytest
from tiny_models import TensorProto, constant, red_finder_yolo, red_finder_yolox, yolo_columns
from worker_process import frame_message, jpeg, jpeg_message, roi

from orion_worker.detector import Attention, NormRect, Picture
from orion_worker.options import parse
from orion_worker.person import PersonDetector

BGR_RED = (20, 20, 230)


def scene(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((height, width, 3), 60, np.uint8)
    x, y, w, h = box
    image[y : y + h, x : x + w] = BGR_RED
    return image


def only_box(result: dict) -> tuple[float, float, float, float]:
    assert result["type"] == "person_detection", result
    assert result["data"]["count"] == 1, result
    box = result["data"]["detections"][0]["bbox"]
    return box["x"], box["y"], box["width"], box["height"]


@pytest.fixture(params=["yolo", "yolox"])
def finder(request, tmp_path, start):
    make = {"yolo": red_finder_yolo, "yolox": red_finder_yolox}[request.param]
    large, small = make(tmp_path / "large.onnx", 640), make(tmp_path / "small.onnx", 320)
    worker = start("--model", large, "--model-320", small)
    worker.ready()
    worker.head = request.param
    return worker


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (333, 517), (64, 1000), (640, 640)])
def test_a_box_comes_back_in_pixels_of_the_frame(finder, size):
    box = (size[0] // 4, size[1] // 3, size[0] // 3, size[1] // 4)
    found = only_box(finder.ask(frame_message(scene(*size, box))))
    # One pixel of the network's input covers this many pixels of the frame.
    tolerance = 1 + max(size) / 640
    assert np.allclose(found, box, atol=tolerance), (found, box)


def test_a_box_found_in_a_region_comes_back_in_pixels_of_the_whole_frame(finder):
    box = (800, 400, 100, 150)
    image = scene(1280, 720, box)
    asked = roi(0.5, 0.5, 0.35, 0.45, target_size=320)
    result = finder.ask(frame_message(image, roi_processing=asked))
    assert np.allclose(only_box(result), box, atol=3)
    metadata = result["data"]["metadata"]
    assert metadata["model_selected"] == "320"
    assert metadata["input_size"] == [320, 320]
    assert metadata["model_file"] == "small.onnx"
    assert metadata["detector"] == finder.head
    assert metadata["roi_attention"] is True
    assert metadata["roi_processing"] == asked | {"crop_applied": True}


def test_nothing_outside_the_region_is_looked_at(finder):
    image = scene(1280, 720, (10, 10, 200, 200))
    result = finder.ask(frame_message(image, roi_processing=roi(0.5, 0.5, 0.5, 0.5)))
    assert result["data"] == {
        "detections": [],
        "count": 0,
        "metadata": result["data"]["metadata"],
    }
    assert result["suggested_roi"] is None


def test_a_region_of_the_whole_frame_is_no_crop(finder):
    result = finder.ask(frame_message(scene(640, 480, (100, 100, 50, 50)), roi_processing=roi(0, 0, 1, 1)))
    assert result["data"]["metadata"]["roi_processing"]["crop_applied"] is False
    assert result["data"]["metadata"]["roi_attention"] is True


def test_a_red_object_at_the_edge_of_a_region_stays_inside_the_frame(finder):
    image = scene(641, 479, (600, 400, 41, 79))
    result = finder.ask(frame_message(image, roi_processing=roi(0.7, 0.7, 0.3, 0.3)))
    x, y, width, height = only_box(result)
    assert x >= 0 and y >= 0 and x + width <= 641 and y + height <= 479


def test_a_jpeg_gives_the_same_box_and_timings_add_up(finder):
    box = (200, 150, 120, 90)
    result = finder.ask(jpeg_message(jpeg(scene(640, 480, box)), seq=7))
    assert np.allclose(only_box(result), box, atol=4)
    assert result["frame_seq"] == 7
    timing = result["timing"]
    stages = timing["preprocess_ms"] + timing["inference_ms"] + timing["postprocess_ms"]
    assert 0 < stages <= timing["total_ms"] + 0.01


@pytest.mark.parametrize(
    ("size", "target", "region"),
    [
        ((1280, 720), 640, None),
        ((1281, 719), 320, None),
        ((3839, 2161), 640, None),
        ((2560, 1440), 320, (0.3, 0.2, 0.61, 0.63)),
        ((2559, 1441), 640, (0.301, 0.203, 0.611, 0.629)),
    ],
)
def test_boxes_in_large_jpegs_are_in_pixels_of_the_whole_frame(finder, size, target, region):
    box = (size[0] * 2 // 5, size[1] * 2 // 5, size[0] // 4, size[1] // 4)
    asked = {"roi_processing": roi(*(region or (0, 0, 1, 1)), target)}
    result = finder.ask(jpeg_message(jpeg(scene(*size, box)), 3, **asked))
    metadata = result["data"]["metadata"]
    assert (metadata["frame_width"], metadata["frame_height"]) == size
    assert metadata["model_selected"] == str(target)
    # Two pixels of the network's input: one of scaling, one of the colours that JPEG stores coarsely.
    tolerance = 2 * max(size) / target + 2
    assert np.allclose(only_box(result), box, atol=tolerance), (only_box(result), box)


def test_what_a_large_jpeg_shows_beside_the_region_is_never_reported(finder):
    # The red area ends where the region begins, at an odd pixel.
    image = scene(1283, 721, (0, 0, 401, 721))
    asked = roi(401 / 1283, 0, 1 - 401 / 1283, 1, 320)
    for detection in finder.ask(jpeg_message(jpeg(image), 1, roi_processing=asked))["data"]["detections"]:
        assert detection["bbox"]["x"] >= 401


def test_a_reduced_picture_gives_the_boxes_of_the_same_picture_taken_smaller(tmp_path):
    options = parse(["--model", str(red_finder_yolo(tmp_path / "m.onnx", 64))], tmp_path)
    detector = PersonDetector(options)
    detector.load()
    small = scene(160, 90, (40, 30, 50, 20))
    for region in (None, NormRect(0.25, 0.2, 0.5, 0.6)):
        attention = Attention(region)
        expected = detector.infer(small, attention).detections[0]
        view = detector.prepare_picture(Picture(small, (640, 360), 4), attention)
        found = detector.finish(view).detections[0]
        assert (found.x, found.y) == pytest.approx((4 * expected.x, 4 * expected.y))
        assert (found.width, found.height) == pytest.approx((4 * expected.width, 4 * expected.height))


def test_a_region_outside_the_frame_is_refused_by_name(finder):
    answer = finder.ask(frame_message(scene(64, 64, (8, 8, 8, 8)), 3, roi_processing=roi(0.5, 0.5, 0.6, 0.5)))
    assert (answer["type"], answer["code"], answer["frame_seq"]) == ("error", "bad_frame", 3)
    assert "merged_roi: x + width 1.1 is above 1" in answer["message"]


def test_the_suggested_region_is_the_union_plus_fifteen_percent(tmp_path, start):
    boxes = [[100, 100, 40, 60, 0.9], [300, 200, 20, 20, 0.8]]
    model = constant(tmp_path / "m.onnx", yolo_columns(boxes, 8400), 640)
    worker = start("--model", model)
    worker.ready()
    result = worker.ask(frame_message(np.zeros((640, 640, 3), np.uint8)))
    assert [d["confidence"] for d in result["data"]["detections"]] == [0.9, 0.8]
    left, top, right, bottom = 80, 70, 310, 210
    suggested = result["suggested_roi"]
    expected = {
        "x": (left - 0.075 * (right - left)) / 640,
        "y": (top - 0.075 * (bottom - top)) / 640,
        "width": 1.15 * (right - left) / 640,
        "height": 1.15 * (bottom - top) / 640,
    }
    assert suggested == pytest.approx(expected)


def test_overlapping_boxes_are_suppressed_per_class_and_labels_select_classes(tmp_path, start):
    boxes = [
        [100, 100, 50, 50, 0.9],
        [102, 101, 50, 50, 0.7],  # the same person again
        [101, 100, 50, 50, 0.0, 0.8],  # a bicycle at the same place
        [300, 300, 50, 50, 0.6, 0.65],  # rather a bicycle than a person
        [400, 400, 50, 50, 0.49],  # not confident enough
    ]
    model = constant(tmp_path / "m.onnx", yolo_columns(boxes, 8400), 640)
    worker = start("--model", model)
    worker.ready()
    blank = frame_message(np.zeros((640, 640, 3), np.uint8))

    def found():
        return [(d["label"], d["label_id"], d["confidence"]) for d in worker.ask(blank)["data"]["detections"]]

    assert found() == [("person", 0, 0.9)]
    worker.ask(
        {"type": "command", "id": "1", "command": "set_labels", "params": {"labels": ["person", "bicycle"]}}
    )
    assert found() == [("person", 0, 0.9), ("bicycle", 1, 0.8), ("bicycle", 1, 0.65)]
    worker.ask({"type": "command", "id": "2", "command": "set_confidence", "params": {"confidence": 0.4}})
    assert ("person", 0, 0.49) in found()
    worker.ask({"type": "command", "id": "3", "command": "set_iou_threshold", "params": {"iou_threshold": 1}})
    assert ("person", 0, 0.7) in found()


def test_without_a_320_model_the_640_one_serves_both(tmp_path, start):
    worker = start("--model", red_finder_yolo(tmp_path / "m.onnx", 640))
    models = worker.ready()["models"]
    assert (models["file_640"], models["file_320"]) == ("m.onnx", None)
    message = frame_message(scene(640, 480, (50, 50, 60, 60)), roi_processing=roi(0, 0, 0.5, 0.5, 320))
    metadata = worker.ask(message)["data"]["metadata"]
    assert (metadata["model_selected"], metadata["input_size"]) == ("640", [640, 640])
    assert metadata["roi_processing"]["target_size"] == 320


def test_a_model_directory_is_searched_and_counters_are_kept_per_model(tmp_path, start):
    red_finder_yolo(tmp_path / "yolo11n_fp32_640.onnx", 640)
    red_finder_yolo(tmp_path / "yolo11n_fp32_320.onnx", 320)
    worker = start("--model-dir", tmp_path, "--threads", 1)
    ready = worker.ready()
    assert ready["models"]["size"] == "n"
    assert set(ready["models"]["sha256"]) == {"yolo11n_fp32_640.onnx", "yolo11n_fp32_320.onnx"}
    image = scene(320, 240, (30, 30, 60, 60))
    for number in range(3):
        worker.ask(frame_message(image, number, roi_processing=roi(0, 0, 0.5, 0.5, 320)))
    worker.ask(frame_message(image, 9))
    told = worker.ask({"type": "command", "id": "d", "command": "describe"})["data"]
    assert told["frames_by_model"] == {"640": 1, "320": 3}
    assert told["frames"] == {"received": 4, "results": 4, "errors": 0, "shm": 0}
    assert (told["threads"], told["labels"], told["confidence"]) == (1, ["person"], 0.5)
    assert told["models"]["file_320"] == "yolo11n_fp32_320.onnx"
    assert worker.finish() == 0


def test_open_axes_take_the_size_of_the_slot(tmp_path, start):
    columns = yolo_columns([[160, 160, 64, 64, 0.75]], 2100)
    model = constant(tmp_path / "m.onnx", columns, input_shape=["batch", 3, "height", "width"])
    worker = start(
        "--model", constant(tmp_path / "l.onnx", yolo_columns([], 8400), 640), "--model-320", model
    )
    worker.ready()
    blank = np.zeros((320, 320, 3), np.uint8)
    result = worker.ask(frame_message(blank, roi_processing=roi(0, 0, 1, 1, 320)))
    assert result["data"]["metadata"]["input_size"] == [320, 320]
    assert only_box(result) == (128, 128, 64, 64)


def test_half_precision_models_work(tmp_path, start):
    columns = yolo_columns([[32, 32, 16, 16, 0.75]], 84, classes=80)
    model = constant(tmp_path / "m.onnx", columns, 64, kind=TensorProto.FLOAT16)
    worker = start("--model", model, "--detector", "yolo")
    worker.ready()
    assert only_box(worker.ask(frame_message(np.zeros((64, 64, 3), np.uint8)))) == (24, 24, 16, 16)


def test_class_names_come_from_the_model(tmp_path, start):
    columns = yolo_columns([[32, 32, 16, 16, 0.1, 0.75]], 84, classes=2)
    model = constant(tmp_path / "m.onnx", columns, 64, names={0: "cat", 1: "visitor"})
    worker = start("--model", model, "--labels", "visitor", "--detector", "yolo")
    worker.ready()
    result = worker.ask(frame_message(np.zeros((64, 64, 3), np.uint8)))
    assert result["data"]["detections"][0]["label"] == "visitor"


@pytest.mark.parametrize(
    "column", [[32, 32, 16, 16, np.nan], [np.nan, 32, 16, 16, 0.9], [32, 32, np.inf, 16, 0.9]]
)
def test_numbers_that_are_not_finite_are_an_error_and_not_an_empty_room(tmp_path, start, column):
    model = constant(tmp_path / "m.onnx", yolo_columns([column], 84), 64)
    worker = start("--model", model)
    worker.ready()
    answer = worker.ask(frame_message(np.zeros((64, 64, 3), np.uint8), 5))
    assert (answer["type"], answer["code"], answer["frame_seq"]) == ("error", "inference_failed", 5)
    assert "not finite" in answer["message"]
    assert worker.finish() == 0


def test_boxes_that_reach_out_of_the_frame_are_cut(tmp_path, start):
    columns = yolo_columns([[0, 0, 40, 40, 0.9], [64, 64, 1e6, 10, 0.8], [500, 500, 10, 10, 0.7]], 84)
    worker = start("--model", constant(tmp_path / "m.onnx", columns, 64))
    worker.ready()
    result = worker.ask(frame_message(np.zeros((64, 64, 3), np.uint8)))
    boxes = [d["bbox"] for d in result["data"]["detections"]]
    assert boxes == [
        {"x": 0.0, "y": 0.0, "width": 20.0, "height": 20.0},
        {"x": 0.0, "y": 59.0, "width": 64.0, "height": 5.0},
    ]
