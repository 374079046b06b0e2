# SPDX-License-Identifier: MPL-2.0
"""Payloads as a daemon sends them; the tests hold each against its schema."""

import json
import random
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from . import moment

SCHEMA = Path(__file__).resolve().parents[3] / "pipelines" / "orion.schema.json"
WIDTH, HEIGHT = 768, 432
TYPE = "person_detection"
# What results say of the time from capture to publication, ms, in the mean.
_LATENCY_MS = 60.0


def encode(message: Mapping[str, Any]) -> bytes:
    """JSON without blanks, as the daemon writes it."""
    return json.dumps(message, separators=(",", ":")).encode()


@cache
def _defaults() -> str:
    keys = json.loads(SCHEMA.read_text())["properties"]
    return json.dumps({name: key["default"] for name, key in keys.items() if "default" in key})


def config(instance: str) -> dict[str, Any]:
    """A configuration with its defaults, so that the state is as long as a real one."""
    return {**json.loads(_defaults()), "instance_id": instance, "room_id": f"room of {instance}"}


def state(instance: str, revision: int, paused: bool, rate_hz: float, since: str) -> dict[str, Any]:
    """The retained state."""
    found = config(instance)
    found["models"]["person_detector"]["max_inference_rate_hz"] = rate_hz
    return {
        "instance_id": instance,
        "revision": revision,
        "timestamp": since,
        "paused": paused,
        "inference_rate_hz": rate_hz,
        "config": found,
    }


def presence(instance: str, count: int | None, since: str, reason: str = "starting") -> dict[str, Any]:
    """The retained presence; without a count it is unknown, for that reason."""
    told = {"instance_id": instance, "count": count or 0, "since": since, "timestamp": moment.now()}
    if count is None:
        return {**told, "state": "unknown", "evidence_age_ms": None, "reason": reason}
    return {**told, "state": "present" if count else "absent", "evidence_age_ms": int(_LATENCY_MS)}


def _detection(chance: random.Random) -> dict[str, Any]:
    width, height = round(chance.uniform(30, 120), 2), round(chance.uniform(80, 300), 2)
    left, top = chance.uniform(0, WIDTH - width), chance.uniform(0, HEIGHT - height)
    box = {"x": round(left, 2), "y": round(top, 2), "width": width, "height": height}
    return {"bbox": box, "confidence": round(chance.uniform(0.5, 0.95), 4), "label": "person", "label_id": 0}


def _suggestion(detections: list[dict[str, Any]]) -> dict[str, float] | None:
    if not detections:
        return None
    boxes = [one["bbox"] for one in detections]
    left, top = min(box["x"] for box in boxes) / WIDTH, min(box["y"] for box in boxes) / HEIGHT
    right = max(box["x"] + box["width"] for box in boxes) / WIDTH
    bottom = max(box["y"] + box["height"] for box in boxes) / HEIGHT
    return {"x": left, "y": top, "width": min(right, 1.0) - left, "height": min(bottom, 1.0) - top}


def result(instance: str, seq: int, count: int, chance: random.Random) -> dict[str, Any]:
    """What was seen on a frame that was captured a little ago and is published now."""
    detections = sorted((_detection(chance) for _ in range(count)), key=lambda one: -one["confidence"])
    took = round(_LATENCY_MS * chance.uniform(0.7, 1.5), 3)
    worker = round(0.9 * took, 3)
    return {
        "type": TYPE,
        "instance_id": instance,
        "room_id": f"room of {instance}",
        "timestamp": moment.text(time.time_ns() - round(took * 1e6)),
        "frame_seq": seq,
        "data": {
            "detections": detections,
            "count": count,
            "metadata": {
                "detector": "yolo",
                "frame_height": HEIGHT,
                "frame_width": WIDTH,
                "input_size": [640, 640],
                "model_file": "orion_person_640.onnx",
                "model_selected": "640",
                "model_size": "orion",
                "roi_attention": False,
                "roi_processing": {
                    "attention_rois": [],
                    "crop_applied": False,
                    "merged_roi": None,
                    "source": "",
                    "target_size": 640,
                },
            },
        },
        "timing": {
            "preprocess_ms": round(0.1 * worker, 3),
            "inference_ms": round(0.85 * worker, 3),
            "postprocess_ms": round(0.05 * worker, 3),
            "total_ms": worker,
        },
        "suggested_roi": _suggestion(detections),
        "clock_source": "arrival",
        "latency_ms": took,
        "stages": {"queue_ms": round(took - worker, 3), "worker_ms": worker, "publish_ms": 0.0},
        "time_since_full_sweep_ms": 0.0,
        "coverage": 1.0,
        "lost_since_last": {},
    }


def published_at(message: Mapping[str, Any]) -> float:
    """Seconds since 1970 when a result was published, by its own words."""
    return moment.seconds(message["timestamp"]) + message["latency_ms"] / 1000
