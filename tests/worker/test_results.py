# SPDX-License-Identifier: MPL-2.0
"""From detections to the message: clipped, rounded, ordered."""

import numpy as np
import pytest

from orion_worker import wire
from orion_worker.detector import Detection, Inference, NormRect, Stages
from orion_worker.errors import MessageError
from orion_worker.results import attention_of, detection_message, result_message

RECT = wire.Rect(0.25, 0.25, 0.5, 0.5)


def meta(roi: wire.RoiProcessing | None = None) -> wire.FrameMeta:
    return wire.FrameMeta("cam", "room", 5, "2025-01-01T00:00:00Z", roi)


def frame(roi: wire.RoiProcessing | None = None) -> wire.Frame:
    return wire.Frame(100, 100, meta(roi), frame_data=memoryview(b""))


def person(x: float, y: float, width: float, height: float, confidence: float = 0.5) -> Detection:
    return Detection(x, y, width, height, confidence, "person", 0)


def test_rounded_boxes_never_leave_the_frame():
    random = np.random.default_rng(3)
    for _ in range(5000):
        width, height = (int(side) for side in random.integers(1, 4000, 2))
        x, y, w, h = random.uniform(-1, 2, 4) * [width, height, width, height]
        made = detection_message(person(x, y, w, h), width, height)
        if made is None:
            continue
        box = made.bbox
        assert box.x >= 0 and box.y >= 0 and box.width > 0 and box.height > 0
        assert box.x + box.width <= width and box.y + box.height <= height
        assert box.x == round(box.x, 2) and box.width == round(box.width, 2)


@pytest.mark.parametrize(
    "box", [(200, 0, 10, 10), (-20, 0, 10, 10), (5, 5, 0, 5), (5, 5, -3, 5), (5, 5, 0.001, 5)]
)
def test_a_box_of_which_nothing_is_left_is_dropped(box):
    assert detection_message(person(*box), 100, 100) is None


@pytest.mark.parametrize(
    "bad", [person(float("nan"), 0, 1, 1), person(0, 0, float("inf"), 1), person(0, 0, 1, 1, float("nan"))]
)
def test_numbers_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="not of finite numbers"):
        detection_message(bad, 100, 100)


def test_detections_are_sorted_and_counted_and_confidence_has_four_decimals():
    found = [person(0, 0, 10, 10, 0.123456), person(20, 20, 10, 10, 0.98765), person(500, 0, 1, 1, 0.9)]
    message = result_message("person_detection", meta(), (100, 100), Inference(found), 1.0, 5.0)
    assert [d.confidence for d in message.data.detections] == [0.9877, 0.1235]
    assert message.data.count == 2
    assert message.suggested_roi.x == pytest.approx(0)
    assert message.suggested_roi.width == pytest.approx(0.3 + 0.3 * 0.075)


def test_decoding_counts_as_preprocessing_and_unknown_stages_as_inference():
    known = Inference([], stages=Stages(1.0, 20.0, 0.5))
    timing = result_message("x", meta(), (100, 100), known, 2.0, 24.0).timing
    assert timing == wire.Timing(3.0, 20.0, 0.5, 24.0)
    timing = result_message("x", meta(), (100, 100), Inference([]), 2.0, 24.0).timing
    assert timing == wire.Timing(2.0, 22.0, 0.0, 24.0)


@pytest.mark.parametrize("cropped", [True, False])
def test_the_echo_tells_whether_a_crop_was_made(cropped):
    asked = wire.RoiProcessing(320, not cropped, "external", [RECT], RECT)
    message = result_message("x", meta(asked), (100, 100), Inference([], crop_applied=cropped), 0, 0)
    assert message.data.metadata["roi_processing"] == wire.RoiProcessing(
        320, cropped, "external", [RECT], RECT
    )
    assert message.data.metadata["roi_attention"] is True


def test_attention_is_what_the_frame_asks_for():
    assert attention_of(frame()).region is None
    assert attention_of(frame()).target_size == 640
    asked = wire.RoiProcessing(320, False, "", [], None)
    assert (attention_of(frame(asked)).region, attention_of(frame(asked)).target_size) == (None, 320)
    asked = wire.RoiProcessing(320, False, "external", [], RECT)
    assert attention_of(frame(asked)).region == NormRect(0.25, 0.25, 0.5, 0.5)


def test_a_region_that_is_no_region_is_refused_by_name():
    asked = wire.RoiProcessing(320, False, "external", [], wire.Rect(0, 0, 0, 1))
    with pytest.raises(
        MessageError, match=r"meta\.roi_processing\.merged_roi: width 0 is not above 0"
    ) as error:
        attention_of(frame(asked))
    assert error.value.frame_seq == 5
