# SPDX-License-Identifier: MPL-2.0
"""Boxes are right, not only present: from photos to MQTT through the elements, against another decode."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from decode import Reference, iou

CONFIDENCE, IOU = 0.25, 0.45
FULL = '[{"x":0,"y":0,"width":1,"height":1}]'

# name, model, raw grid, and what makes orionroi ask for that model
NETWORKS = [
    ("640", "yoloxn_fp32_640.onnx", False, []),
    ("320", "yoloxn_fp32_320.onnx", False, [f"rois={FULL}", "threshold-area=4294967295", "max-blind-time=0"]),
    ("raw grid", "yolox_nano_416_rawgrid.onnx", True, []),
]


@pytest.fixture(scope="module")
def pictures(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """The labelled photos, and cuts of them that are narrow, odd-sized and tiny; RGB."""
    photos = [cv2.imread(str(path)) for path in sorted((data_dir / "photos" / "images").glob("*.jpg"))]
    assert len(photos) == 25
    person = max(photos, key=lambda photo: photo.shape[0] * photo.shape[1])
    height, width = person.shape[:2]
    extra = [
        photos[4][:, :173],
        photos[4][:121],
        cv2.resize(photos[4], (33, 41), interpolation=cv2.INTER_AREA),
        cv2.resize(person, (width // 3 | 1, height // 3 | 1), interpolation=cv2.INTER_AREA),
        photos[0][:1, :7],
    ]
    return [np.ascontiguousarray(picture[:, :, ::-1]) for picture in photos + extra]


def infer(
    run,
    broker,
    listener,
    folder: Path,
    pattern: str,
    decoder: str,
    count: int,
    roi: list[str],
    worker: list[str],
):
    """Sends numbered picture files through the elements; what is published, by frame."""
    caps = "image/png" if pattern.endswith("png") else "image/jpeg"
    heard = len(listener.messages)
    program = run(
        "gst-launch-1.0", "-q", "multifilesrc", f"location={folder}/{pattern}", f"caps={caps},framerate=1/1",
        *decoder.split(), "!", "orionroi", "instance-id=photos", *roi,
        "!", "orionpyinfer", f"confidence={CONFIDENCE}", f"iou-threshold={IOU}", *worker,
        "!", "orionmqttsink", f"uri={broker.uri}",
    )  # fmt: skip
    assert program.wait(120) == 0, program.output
    messages = listener.wait_for(count, 20, after=heard)
    assert {topic for topic, _ in messages} == {"care/inferences/photos/person_detection"}
    results = sorted((result for _, result in messages), key=lambda result: result["frame_seq"])
    assert [result["frame_seq"] for result in results] == list(range(count))
    return results


def boxes_of(result) -> np.ndarray:
    rows = []
    for detection in result["data"]["detections"]:
        box = detection["bbox"]
        right, bottom = box["x"] + box["width"], box["y"] + box["height"]
        rows.append((box["x"], box["y"], right, bottom, detection["confidence"]))
        metadata = result["data"]["metadata"]
        # Both are rounded to hundredths of a pixel.
        assert box["x"] >= 0 and right <= metadata["frame_width"] + 0.011
        assert box["y"] >= 0 and bottom <= metadata["frame_height"] + 0.011
    return np.array(rows).reshape(-1, 5)


def pairs(mine: np.ndarray, theirs: np.ndarray) -> list[tuple[float, float]]:
    """Overlap and difference of confidence of each box and the best one on the other side, each used once."""
    left, found = list(theirs), []
    for box in mine:
        if left:
            best = max(range(len(left)), key=lambda n: iou(box, left[n]))
            found.append((iou(box, left[best]), abs(box[4] - left[best][4])))
            left.pop(best)
    return found


@pytest.mark.parametrize(
    ("name", "model", "raw_grid", "roi"), NETWORKS, ids=[network[0] for network in NETWORKS]
)
def test_lossless_frames_give_the_boxes_of_an_independent_decode(
    run, broker, listener, data_dir, tmp_path, pictures, name, model, raw_grid, roi
):
    for number, picture in enumerate(pictures):
        cv2.imwrite(f"{tmp_path}/{number:03}.png", picture[:, :, ::-1])
    models = data_dir / "models"
    files = [f"model-file={models / model}"]
    if name == "320":
        files = [f"model-file={models / 'yoloxn_fp32_640.onnx'}", f"model-file-320={models / model}"]
    decoder = "! pngdec ! videoconvert ! video/x-raw,format=RGB"
    results = infer(run, broker, listener, tmp_path, "%03d.png", decoder, len(pictures), roi, files)
    reference = Reference(str(models / model), raw_grid, CONFIDENCE, IOU)
    compared = 0
    for picture, result in zip(pictures, results, strict=True):
        metadata = result["data"]["metadata"]
        assert (metadata["frame_height"], metadata["frame_width"]) == picture.shape[:2]
        assert metadata["model_selected"] == ("320" if name == "320" else "640")
        mine, theirs = boxes_of(result), reference(picture)
        assert len(mine) == len(theirs), f"{result['frame_seq']}: {mine} / {theirs}"
        for overlap, difference in pairs(mine, theirs):
            assert overlap >= 0.98, f"{result['frame_seq']}: {mine} / {theirs}"
            assert difference <= 0.01
            compared += 1
    print(f"{name}: {compared} boxes compared")
    assert compared >= 20


def test_jpeg_costs_little_accuracy(run, broker, listener, data_dir, tmp_path, pictures):
    model = data_dir / "models" / "yoloxn_fp32_640.onnx"
    photos = pictures[:25]
    for number, picture in enumerate(photos):
        cv2.imwrite(f"{tmp_path}/{number:03}.png", picture[:, :, ::-1])
    decoder = "! pngdec ! videoconvert ! jpegenc quality=85"
    results = infer(
        run, broker, listener, tmp_path, "%03d.png", decoder, len(photos), [], [f"model-file={model}"]
    )
    reference = Reference(str(model), False, CONFIDENCE, IOU)
    overlaps = []
    for picture, result in zip(photos, results, strict=True):
        overlaps += [overlap for overlap, _ in pairs(boxes_of(result), reference(picture)) if overlap >= 0.5]
    print(f"mean overlap of {len(overlaps)} matched boxes: {np.mean(overlaps):.4f}")
    assert len(overlaps) >= 20
    assert np.mean(overlaps) >= 0.95
