# SPDX-License-Identifier: MPL-2.0
"""From what a detector found to the message that is sent."""

import dataclasses

import msgspec
import numpy as np

from orion_worker import wire
from orion_worker.detector import Attention, Detection, Inference, NormRect, Stages
from orion_worker.errors import MessageError
from orion_worker.geometry import Boxes, problem_of, suggested_region

_BOX_DECIMALS, _CONFIDENCE_DECIMALS, _TIME_DECIMALS = 2, 4, 3


def attention_of(frame: wire.Frame) -> Attention:
    """The attention a frame asks for.

    Raises:
        MessageError: `bad_frame` when the region is not inside the frame.
    """
    asked = frame.meta.roi_processing
    if asked is None:
        return Attention()
    if asked.merged_roi is None:
        return Attention(None, asked.target_size)
    merged = asked.merged_roi
    region = NormRect(merged.x, merged.y, merged.width, merged.height)
    if problem := problem_of(region):
        raise MessageError("bad_frame", f"meta.roi_processing.merged_roi: {problem}", frame.meta.seq)
    return Attention(region, asked.target_size)


def detection_message(found: Detection, width: int, height: int) -> wire.Detection | None:
    """A detection clipped to a frame of `width` by `height` px and rounded; None when nothing is left.

    Raises:
        ValueError: a number is not finite, or the label is no text.
    """
    if not isinstance(found.label, str):
        raise ValueError(f"label {found.label!r} is no text")
    edges = np.array([found.x, found.y, found.x + found.width, found.y + found.height])
    if not (np.isfinite(edges).all() and np.isfinite(found.confidence)):
        raise ValueError(f"detection {found} is not of finite numbers")
    left, right = _span(edges[0], edges[2], width)
    top, bottom = _span(edges[1], edges[3], height)
    if right <= 0 or bottom <= 0:
        return None
    confidence = round(min(1.0, max(0.0, float(found.confidence))), _CONFIDENCE_DECIMALS)
    return wire.Detection(wire.Rect(left, top, right, bottom), confidence, found.label, found.label_id)


def result_message(
    result_type: str,
    meta: wire.FrameMeta,
    size: tuple[int, int],
    inference: Inference,
    before_ms: float,
    total_ms: float,
    batch: int = 1,
) -> wire.Result:
    """The result for a frame.

    Args:
        result_type: the detector's.
        meta: that of the frame answered.
        size: width and height of the decoded picture in px.
        inference: what the detector returned.
        before_ms: time of preprocessing that the detector's stages do not cover, decoding above all.
        total_ms: time spent on this frame, on whichever thread, without its waiting in between.
        batch: how many frames were inferred in one run with it, itself included.

    Raises:
        ValueError: a detection is not of finite numbers.
    """
    messages = [detection_message(found, *size) for found in inference.detections]
    kept = sorted((m for m in messages if m is not None), key=lambda m: -m.confidence)
    boxes = _corners(kept)
    suggested = suggested_region(boxes, *size)
    asked = meta.roi_processing
    if asked is not None:
        asked = msgspec.structs.replace(asked, crop_applied=inference.crop_applied)
    metadata = dict(inference.metadata) | {
        "roi_attention": asked is not None and asked.merged_roi is not None,
        "roi_processing": asked,
        "frame_width": size[0],
        "frame_height": size[1],
    }
    return wire.Result(
        type=result_type,
        instance_id=meta.instance_id,
        room_id=meta.room_id,
        timestamp=meta.timestamp,
        frame_seq=meta.seq,
        data=wire.ResultData(kept, len(kept), metadata),
        timing=_timing(inference.stages, before_ms, total_ms, batch),
        suggested_roi=wire.Rect(*dataclasses.astuple(suggested)) if suggested else None,
    )


def _span(low: float, high: float, limit: int) -> tuple[float, float]:
    start = round(float(min(max(low, 0.0), limit)), _BOX_DECIMALS)
    end = round(float(min(max(high, 0.0), limit)), _BOX_DECIMALS)
    size = round(end - start, _BOX_DECIMALS)
    # In binary, start + size may come out a hair above the frame; readers check that it does not.
    while start + size > limit:
        size = round(size - 10**-_BOX_DECIMALS, _BOX_DECIMALS)
    return start, size


def _corners(detections: list[wire.Detection]) -> Boxes:
    rects = np.array([(d.bbox.x, d.bbox.y, d.bbox.width, d.bbox.height) for d in detections]).reshape(-1, 4)
    return np.concatenate([rects[:, :2], rects[:, :2] + rects[:, 2:]], axis=1)


def _timing(stages: Stages | None, before_ms: float, total_ms: float, batch: int) -> wire.Timing:
    stages = stages or Stages(0.0, max(0.0, total_ms - before_ms), 0.0)
    spent = (before_ms + stages.preprocess_ms, stages.inference_ms, stages.postprocess_ms, total_ms)
    rounded = (round(value, _TIME_DECIMALS) for value in spent)
    return wire.Timing(*rounded, batch=batch if batch > 1 else msgspec.UNSET)
