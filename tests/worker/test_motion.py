# SPDX-License-Identifier: MPL-2.0
"""The motion detector: finds what moves, is silent about what does not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from worker_process import frame_message, jpeg, roi

from orion_worker.detector import Attention, NormRect, Picture
from orion_worker.images import decode
from orion_worker.motion import LEARNING_FRAMES, MotionDetector
from orion_worker.options import parse

RANDOM = np.random.default_rng(7)
RADIUS = 20


def detector(*flags: str) -> MotionDetector:
    made = MotionDetector(parse(["--detector", "motion", *flags], Path("nowhere")))
    made.load()
    return made


def ball(step: int, width: int = 640, height: int = 480) -> tuple[np.ndarray, tuple[int, int]]:
    """A white ball of 40 px on black, as GStreamer's videotestsrc pattern=ball draws it, and its centre."""
    centre = (60 + 13 * step, 60 + 9 * step)
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, centre, RADIUS, (255, 255, 255), -1)
    return image, centre


def noisy(image: np.ndarray, deviation: float = 3.0) -> np.ndarray:
    return np.clip(image + RANDOM.normal(0, deviation, image.shape), 0, 255).astype(np.uint8)


def room(width: int = 640, height: int = 480) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 200 / width, y * 200 / height, 100 + 50 * np.sin(x / 20)], axis=2)
    return image.astype(np.uint8)


def test_a_moving_ball_is_found_in_every_frame_after_learning():
    moving = detector()
    for step in range(40):
        image, (x, y) = ball(step)
        found = moving.infer(image, Attention()).detections
        if step < LEARNING_FRAMES:
            assert not found
            continue
        # The place it left may be marked too; the ball itself has to be inside one of the boxes.
        assert any(
            d.x - 4 <= x - RADIUS and x + RADIUS <= d.x + d.width + 4 and d.y - 4 <= y - RADIUS for d in found
        ), (step, found, (x, y))
        assert all(d.width < 150 and d.height < 150 for d in found), found
        assert all((d.label, d.label_id) == ("motion", 0) and 0.5 <= d.confidence <= 1 for d in found)


def test_a_still_picture_with_noise_has_no_motion():
    still, image = detector(), room()
    for _ in range(60):
        assert not still.infer(noisy(image), Attention()).detections


def test_a_camera_that_adjusts_its_exposure_has_seen_no_motion():
    still, image = detector(), room()
    for _ in range(20):
        still.infer(noisy(image), Attention())
    for step in range(20):
        brighter = np.clip(image * (1 + 0.02 * step), 0, 255)
        assert not still.infer(noisy(brighter), Attention()).detections, step


def test_something_that_moves_before_a_noisy_background_is_found():
    moving, image = detector(), room()
    for _ in range(20):
        moving.infer(noisy(image), Attention())
    for step in range(10):
        scene = image.copy()
        scene[150:350, 100 + 10 * step : 160 + 10 * step] = (40, 60, 220)
        found = moving.infer(noisy(scene), Attention()).detections
        assert any(d.height > 150 for d in found), (step, found)


def test_a_region_limits_what_is_reported_and_cuts_it():
    everywhere, right_half = detector(), detector()
    seen = []
    for step in range(40):
        image, (x, _) = ball(step)
        both = everywhere.infer(image, Attention())
        half = right_half.infer(image, Attention(NormRect(0.5, 0, 0.5, 1)))
        assert all(d.x >= 320 for d in half.detections)
        assert half.crop_applied is False
        if step >= LEARNING_FRAMES:
            assert both.detections
            seen.append((x, bool(half.detections)))
    assert not any(found for x, found in seen if x < 280)
    assert all(found for x, found in seen if x > 360)


def test_a_change_of_the_frame_size_starts_over():
    moving = detector()
    for step in range(12):
        moving.infer(ball(step)[0], Attention())
    for step in range(LEARNING_FRAMES):
        assert not moving.infer(ball(step, 1280, 720)[0], Attention()).detections
    found = moving.infer(ball(30, 1280, 720)[0], Attention()).detections
    assert any(d.x + d.width > 400 for d in found), found


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4000, 3)])
def test_frames_of_any_size_are_survived(size):
    odd = detector()
    for _ in range(LEARNING_FRAMES + 2):
        odd.infer(RANDOM.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8), Attention())
    assert odd.describe()["frames_by_model"] == {"motion": LEARNING_FRAMES + 2}


def test_confidence_is_a_matter_of_size():
    def most(radius: int) -> float:
        moving = detector("--confidence", "0")
        best = 0.0
        for step in range(20):
            image = np.zeros((480, 640, 3), np.uint8)
            cv2.circle(image, (60 + 25 * step, 240), radius, (255, 255, 255), -1)
            best = max([best, *(d.confidence for d in moving.infer(image, Attention()).detections)])
        return best

    assert 0 < most(7) < most(12) < most(30) <= 1


def test_the_motion_worker_speaks_the_same_protocol_without_a_model(start):
    worker = start("--detector", "motion", "--model-dir", "/nowhere")
    ready = worker.ready()
    assert ready["worker"] == "motion_detector"
    assert ready["models"] == {"size": None, "file_640": None, "file_320": None, "sha256": {}}
    for step in range(12):
        result = worker.ask(frame_message(ball(step)[0], step, roi_processing=roi(0, 0, 1, 1)))
    assert result["type"] == "motion_detection"
    assert result["data"]["count"] >= 1
    assert result["data"]["detections"][0]["label"] == "motion"
    assert result["suggested_roi"] is not None
    metadata = result["data"]["metadata"]
    assert (metadata["detector"], metadata["model_selected"]) == ("motion", None)
    assert metadata["input_size"] == [320, 240]
    told = worker.ask(
        {"type": "command", "id": "1", "command": "set_labels", "params": {"labels": ["person"]}}
    )
    assert told["error"] == "params.labels: motion_detector has no setting 'labels'"
    told = worker.ask(
        {"type": "command", "id": "2", "command": "set_confidence", "params": {"confidence": 1}}
    )
    assert told["data"] == {"confidence": 1.0}
    assert worker.finish() == 0


def test_a_large_jpeg_is_decoded_no_smaller_than_motion_is_looked_for_in():
    moving = detector()
    assert moving.reduction((1280, 720), Attention()) == 4
    assert moving.reduction((640, 480), Attention()) == 2
    assert moving.reduction((320, 240), Attention()) == 1
    assert moving.reduction((3840, 2160), Attention()) == 8


def test_motion_in_a_smaller_decoded_picture_is_in_pixels_of_the_frame():
    moving, size = detector(), (1280, 720)
    for step in range(20):
        image, (x, y) = ball(step, *size)
        small = decode(jpeg(image), "jpeg", *size, moving.reduction(size, Attention()))
        found = moving.finish(moving.prepare_picture(Picture(small, size, 4), Attention())).detections
        if step > LEARNING_FRAMES:
            assert any(
                d.x - 8 <= x - RADIUS and x + RADIUS <= d.x + d.width + 8 and d.y - 8 <= y - RADIUS
                for d in found
            ), (step, found, (x, y))
