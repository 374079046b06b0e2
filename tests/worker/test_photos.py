# SPDX-License-Identifier: MPL-2.0
"""Real networks on real photos, against a decoder written here from scratch and against labels."""

import json

import cv2
import numpy as np
import onnxruntime
import pytest
from worker_process import frame_message, jpeg_message

LAYOUTS = {
    "yoloxn_640": ("yoloxn_fp32_640.onnx", "yolo"),
    "yoloxn_320": ("yoloxn_fp32_320.onnx", "yolo"),
    "rawgrid_416": ("yolox_nano_416_rawgrid.onnx", "yolox"),
}
CONFIDENCE, IOU = 0.25, 0.45
REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def iou(a, b):
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


class Reference:
    """Letterbox, decoding and suppression in plain loops; shares no line with the worker."""

    def __init__(self, file, layout):
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.side = self.session.get_inputs()[0].shape[2]
        self.layout = layout

    def reduction(self, width, height):
        """The largest factor that leaves the picture no smaller than it is in the network's input."""
        ratio = self.side / max(width, height)
        wanted = round(width * ratio), round(height * ratio)
        fits = [f for f in (1, 2, 4, 8) if -(-width // f) >= wanted[0] and -(-height // f) >= wanted[1]]
        return max(fits, default=1)

    def __call__(self, image):
        height, width = image.shape[:2]
        ratio = self.side / max(width, height)
        new_w, new_h = round(width * ratio), round(height * ratio)
        x0, y0 = ((self.side - new_w) // 2, (self.side - new_h) // 2) if self.layout == "yolo" else (0, 0)
        canvas = np.full((self.side, self.side, 3), 114, np.uint8)
        canvas[y0 : y0 + new_h, x0 : x0 + new_w] = cv2.resize(image, (new_w, new_h))
        if self.layout == "yolo":
            tensor = canvas[:, :, ::-1].astype(np.float32) / 255
        else:
            tensor = canvas.astype(np.float32)
        tensor = np.ascontiguousarray(tensor.transpose(2, 0, 1)[None])
        (output,) = self.session.run(None, {self.session.get_inputs()[0].name: tensor})
        boxes = []
        for cx, cy, w, h, score in self.rows(output[0]):
            left, right = ((cx + sign * w / 2 - x0) * width / new_w for sign in (-1, 1))
            top, bottom = ((cy + sign * h / 2 - y0) * height / new_h for sign in (-1, 1))
            box = [max(0, left), max(0, top), min(width, right), min(height, bottom)]
            boxes.append((score, box))
        kept = []
        for score, box in sorted(boxes, key=lambda item: -item[0]):
            if all(iou(box, other) <= IOU for _, other in kept):
                kept.append((score, box))
        return kept

    def rows(self, output):
        if self.layout == "yolo":
            for column in output.T:
                if column[4] >= CONFIDENCE and column[4:].argmax() == 0:
                    yield (*column[:4], column[4])
            return
        at = 0
        for stride in (8, 16, 32):
            for row in range(self.side // stride):
                for col in range(self.side // stride):
                    x, y, w, h, objectness, *classes = output[at]
                    at += 1
                    score = objectness * classes[0]
                    if score >= CONFIDENCE and int(np.argmax(classes)) == 0:
                        yield (
                            (x + col) * stride,
                            (y + row) * stride,
                            np.exp(w) * stride,
                            np.exp(h) * stride,
                            score,
                        )


def found(result):
    """(confidence, box) of each detection."""
    assert result["type"] == "person_detection", result
    boxes = []
    for item in result["data"]["detections"]:
        box = item["bbox"]
        corners = [box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]]
        boxes.append((item["confidence"], corners))
    return boxes


@pytest.fixture(params=LAYOUTS, scope="module")
def layout(request):
    return request.param


@pytest.fixture
def worker(start, data_dir, layout):
    file, expected = LAYOUTS[layout]
    running = start("--model", data_dir / "models" / file, "--confidence", CONFIDENCE, "--iou-threshold", IOU)
    running.ready()
    running.file, running.expected = data_dir / "models" / file, expected
    return running


def photos(data_dir):
    labels = json.loads((data_dir / "photos" / "persons.json").read_text())
    for name, label in sorted(labels.items()):
        yield (data_dir / "photos" / "images" / name).read_bytes(), label


def test_the_worker_agrees_with_an_independent_decoder(worker, data_dir):
    reference = Reference(worker.file, worker.expected)
    compared = 0
    for seq, (data, label) in enumerate(photos(data_dir)):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        factor = reference.reduction(label["width"], label["height"])
        small = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[factor])
        for message, seen, times in (
            (jpeg_message(data, seq), small, factor),
            (frame_message(image, seq), image, 1),
        ):
            limits = [label["width"], label["height"]] * 2
            expected = [(score, np.minimum(np.array(box) * times, limits)) for score, box in reference(seen)]
            result = worker.ask(message)
            assert result["data"]["metadata"]["detector"] == worker.expected
            got = found(result)
            assert len(got) == len(expected)
            for (score, box), (expected_score, expected_box) in zip(got, expected, strict=True):
                assert abs(score - expected_score) < 0.01
                assert iou(box, expected_box) >= 0.98
                assert box[0] >= 0 and box[1] >= 0 and box[2] <= label["width"] and box[3] <= label["height"]
                compared += 1
    assert compared >= 40


def test_the_worker_finds_the_labelled_persons(worker, data_dir, layout):
    right = wrong = missed = 0
    for seq, (data, label) in enumerate(photos(data_dir)):
        wanted = list(label["persons_xyxy"])
        for _, box in found(worker.ask(jpeg_message(data, seq))):
            best = max(wanted, key=lambda other, box=box: iou(box, other), default=None)
            if best is not None and iou(box, best) >= 0.5:
                wanted.remove(best)
                right += 1
            elif not any(iou(box, crowd) > 0 for crowd in label["crowd_xyxy"]):
                wrong += 1
        missed += len(wanted)
    precision, recall = right / (right + wrong), right / (right + missed)
    counts = f"{right} right, {wrong} wrong, {missed} missed"
    print(f"{layout}: precision {precision:.3f} recall {recall:.3f} ({counts})")
    assert precision > 0.6
    assert recall > 0.45


def test_a_region_around_a_person_finds_that_person(start, data_dir):
    models = data_dir / "models"
    worker = start("--model", models / "yoloxn_fp32_640.onnx", "--model-320", models / "yoloxn_fp32_320.onnx")
    worker.ready()
    tried = hit = 0
    for seq, (data, label) in enumerate(photos(data_dir)):
        whole = worker.ask(jpeg_message(data, seq))
        suggested = whole["suggested_roi"]
        if suggested is None:
            continue
        asked = {
            "target_size": 320,
            "crop_applied": False,
            "source": "python_suggested",
            "attention_rois": [suggested],
            "merged_roi": suggested,
        }
        again = worker.ask(jpeg_message(data, seq, roi_processing=asked))
        assert again["data"]["metadata"]["model_selected"] == "320"
        for _, box in found(whole)[:1]:
            tried += 1
            hit += any(iou(box, other) >= 0.5 for _, other in found(again))
        for _, box in found(again):
            assert box[0] >= 0 and box[1] >= 0 and box[2] <= label["width"] and box[3] <= label["height"]
    print(f"the most confident person found again in its region: {hit} of {tried}")
    assert tried >= 8
    assert hit / tried >= 0.75
