# SPDX-License-Identifier: MPL-2.0
"""Attention pays: small persons are found in a region, and following persons saves time and loses none."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import scene
from decode import Reference
from test_boxes import boxes_of, infer, pairs

CLIP = "one-by-one-person-detection.mp4"

WIDTH, HEIGHT = 3840, 2160
CENTRE = (1700, 900)
TALL = 60
FOUND = 0.25
"""The confidence from which a small person counts as found."""


@pytest.fixture(scope="module")
def model_files(data_dir: Path) -> list[str]:
    models = data_dir / "models"
    return [
        f"model-file={models / 'yoloxn_fp32_640.onnx'}",
        f"model-file-320={models / 'yoloxn_fp32_320.onnx'}",
    ]


@pytest.fixture(scope="module")
def far_persons(data_dir: Path, tmp_path_factory: pytest.TempPathFactory):
    """A folder of 4K pictures, one small person in each at one place; the persons and their boxes."""
    reference = Reference(str(data_dir / "models" / "yoloxn_fp32_640.onnx"), False, 0.05, 0.45)
    # Whom the network does not see as large as the photo shows them, no region can help.
    known = [
        person
        for person in scene.upright_persons(data_dir)
        if scene.best_score(reference(person.photo[:, :, ::-1]), person.box) >= 0.5
    ]
    folder = tmp_path_factory.mktemp("far")
    background = scene.soft_background(WIDTH, HEIGHT)
    boxes = []
    for number, person in enumerate(known):
        picture, box = scene.with_person(background, person, TALL, CENTRE)
        cv2.imwrite(f"{folder}/{number:03}.png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        boxes.append(box)
    return folder, known, boxes


def region(width: int, height: int) -> str:
    """An external region of that size around the place where the persons are."""
    x, y = CENTRE[0] - width / 2, CENTRE[1] - height / 2
    rect = {"x": x / WIDTH, "y": y / HEIGHT, "width": width / WIDTH, "height": height / HEIGHT}
    return f"rois={json.dumps([rect], separators=(',', ':'))}"


def test_a_far_person_is_found_in_a_region_and_not_in_the_full_frame(
    run, broker, listener, model_files, far_persons
):
    folder, persons, boxes = far_persons
    assert len(persons) >= 10
    runs = {
        "full frame, 640": ([], "640"),
        "480x270, 640": ([region(480, 270), "max-blind-time=0"], "640"),
        "384x216, 320": ([region(384, 216), "max-blind-time=0"], "320"),
    }
    scores: dict[str, list[float]] = {}
    for name, (roi, model) in runs.items():
        decoder = "! pngdec ! videoconvert ! video/x-raw,format=RGB"
        # What scores low counts as well here, to tell how low.
        worker = [*model_files, "confidence=0.05"]
        results = infer(run, broker, listener, folder, "%03d.png", decoder, len(persons), roi, worker)
        for result in results:
            metadata = result["data"]["metadata"]
            assert (metadata["frame_width"], metadata["frame_height"]) == (WIDTH, HEIGHT)
            assert metadata["model_selected"] == model
            assert metadata["roi_processing"]["crop_applied"] is bool(roi)
            assert metadata["roi_processing"]["source"] == ("external" if roi else "")
        scores[name] = [
            scene.best_score(boxes_of(result), box) for result, box in zip(results, boxes, strict=True)
        ]

    print(f"\nconfidence of a person {TALL} px tall in {WIDTH}x{HEIGHT} (IoU >= 0.5; 0 = no such box)")
    print(f"{'person':10}" + "".join(f"{name:>18}" for name in runs))
    for number, person in enumerate(persons):
        print(f"{person.name:10}" + "".join(f"{scores[name][number]:18.2f}" for name in runs))
    rates = {name: np.mean([score >= FOUND for score in values]) for name, values in scores.items()}
    means = {name: np.mean(values) for name, values in scores.items()}
    print(f"{'found':10}" + "".join(f"{rate:18.0%}" for rate in rates.values()))
    print(f"{'mean':10}" + "".join(f"{mean:18.2f}" for mean in means.values()))

    full, large, small = runs
    assert rates[full] <= 0.1, "then the scene is too easy to show anything"
    assert rates[large] >= 0.6 and means[large] >= means[full] + 0.3
    assert rates[small] >= rates[full] + 0.3 and means[small] >= means[full] + 0.15


@pytest.fixture
def walk(run, broker, listener, data_dir, model_files) -> Callable[..., list[dict]]:
    """Sends the clip of people walking in through the elements at 5 Hz; all results in order."""

    def play(*roi: str) -> list[dict]:
        heard = len(listener.messages)
        program = run(
            # async=true: gst-launch-1.0 1.22 may miss the EOS of a file where the sink does not preroll.
            "gst-launch-1.0", "filesrc", f"location={data_dir / 'clips' / CLIP}",
            "!", "qtdemux", "!", "h264parse", "!", "avdec_h264",
            "!", "videoconvert", "!", "video/x-raw,format=RGB",
            "!", "orionroi", "instance-id=walk", "max-rate=5", *roi,
            "!", "orionpyinfer", *model_files, "!", "orionmqttsink", f"uri={broker.uri}", "async=true",
        )  # fmt: skip
        assert program.wait(180) == 0, program.output
        # 1394 frames of 10 Hz; a file without a leaky queue loses none of those that the rate lets through.
        results = [result for _, result in listener.wait_for(697, 20, after=heard)]
        results.sort(key=lambda result: result["frame_seq"])
        assert [result["frame_seq"] for result in results] == list(range(697))
        return results

    return play


def found_again(full: list[dict], other: list[dict]) -> tuple[int, int, list[int]]:
    """Boxes of the full frames that are in the other results too, all boxes, and the frames that lack one."""
    found, wanted, lost = 0, 0, []
    for result, again in zip(full, other, strict=True):
        assert result["frame_seq"] == again["frame_seq"]
        mine = boxes_of(result)
        matched = sum(overlap >= 0.5 for overlap, _ in pairs(mine, boxes_of(again)))
        found, wanted = found + matched, wanted + len(mine)
        if matched < len(mine):
            lost.append(result["frame_seq"])
    return found, wanted, lost


def milliseconds(results: list[dict], name: str) -> np.ndarray:
    return np.array([result["timing"][name] for result in results])


def test_following_persons_saves_time_and_finds_them_still(walk):
    # The full frame goes between the others, so that a machine that slows down does not look like a gain.
    order = ["smoothing", "full frame", "simple", "velocity"]
    runs = {
        name: walk(*([] if name == "full frame" else ["auto-focus=true", f"strategy={name}"]))
        for name in order
    }
    full = runs["full frame"]
    print(f"\n{'':12}{'found':>13}{'inference (ms)':>20}{'total (ms)':>20}{'looked at':>11}{'blind':>9}")
    print(f"{'':12}{'':>13}{'median':>11}{'mean':>9}{'median':>11}{'mean':>9}{'mean':>11}{'most':>9}")
    shares: dict[str, float] = {}
    for name, results in runs.items():
        found, wanted, lost = found_again(full, results)
        shares[name] = found / wanted
        times = "".join(
            f"{np.median(values):11.2f}{values.mean():9.2f}"
            for values in (milliseconds(results, "inference_ms"), milliseconds(results, "total_ms"))
        )
        coverage = np.mean([result["coverage"] for result in results])
        blind = max(result["time_since_full_sweep_ms"] for result in results) / 1e3
        print(f"{name:12}{found:6} {shares[name]:6.1%}{times}{coverage:11.0%}{blind:7.1f} s")
        metadata = [result["data"]["metadata"] for result in results]
        sources = Counter(data["roi_processing"]["source"] or "full frame" for data in metadata)
        models = Counter(data["model_selected"] for data in metadata)
        print(f"  regions {dict(sources)}, models {dict(models)}, frames with a lost box {lost}")

    assert wanted >= 500, "people stand in this clip most of the time"
    for name in ("smoothing", "simple", "velocity"):
        assert shares[name] >= 0.95, name
        for stage in ("inference_ms", "total_ms"):
            before, after = milliseconds(full, stage), milliseconds(runs[name], stage)
            assert np.median(after) < np.median(before), (name, stage)
            assert after.mean() < before.mean(), (name, stage)
        blind = [result["time_since_full_sweep_ms"] for result in runs[name]]
        assert max(blind) <= 5000, name
