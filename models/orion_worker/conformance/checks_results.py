# SPDX-License-Identifier: MPL-2.0
"""Rules that every result so far has to keep, whatever frame it answers."""

import re
from collections.abc import Iterator
from typing import Any

from orion_worker.conformance.bench import Bench, Seen
from orion_worker.conformance.checks_start import is_number, is_time
from orion_worker.conformance.host import Broken

_TYPE = re.compile(r"[a-z0-9_]+")
STAGES = ("preprocess_ms", "inference_ms", "postprocess_ms", "total_ms")
_ROUNDING_PX, _CLOCK_MS = 0.01, 5.0


def echo(bench: Bench) -> str:
    """Number, ids and timestamp of the frame come back unchanged."""
    # No floating point number holds this one.
    bench.result(bench.frame(meta={"seq": 2**53 + 1, "instance_id": "cam_2-b"}))
    for seen in _results(bench):
        meta = seen.frame.message["meta"]
        wanted = {"frame_seq": meta["seq"]} | {
            name: meta[name] for name in ("instance_id", "room_id", "timestamp")
        }
        for name, value in wanted.items():
            if seen.result.get(name) != value:
                given = seen.result.get(name)
                raise Broken(f"{name} {given!r} in the answer to a frame with {value!r}")
    return f"{len(bench.seen)} results"


def result_type(bench: Bench) -> str:
    """All results have the same type, fit to be a level of an MQTT topic."""
    kinds = list(dict.fromkeys(seen.result["type"] for seen in _results(bench)))
    for kind in kinds:
        if not _TYPE.fullmatch(kind):
            raise Broken(f"type {kind!r}: only a to z, 0 to 9 and _ may be in it")
    if len(kinds) > 1:
        raise Broken(f"results of different types: {', '.join(kinds)}")
    return kinds[0]


def fields(bench: Bench) -> str:
    """Every field of a result is there and of its kind, and `count` is the number of detections."""
    for seen in _results(bench):
        data = seen.result.get("data")
        if not isinstance(data, dict):
            raise Broken(f"data is {data!r}, expected a map")
        found, count = data.get("detections"), data.get("count")
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise Broken(f"data.detections is {str(found)[:80]}, expected a list of maps")
        if count != len(found) or isinstance(count, bool):
            raise Broken(f"data.count is {count!r} with {len(found)} detections")
        if not isinstance(data.get("metadata"), dict):
            raise Broken(f"data.metadata is {data.get('metadata')!r}, expected a map")
        _check_suggested(seen.result)
    return f"{len(bench.seen)} results"


def boxes(bench: Bench) -> str:
    """Boxes lie in the frame, confidences in 0..1, labels are text."""
    count = 0
    for seen in _results(bench):
        for item in _detections(seen):
            _check_box(item, seen.frame.width, seen.frame.height)
            count += 1
    return f"{count} boxes in {len(bench.seen)} results" + ("" if count else "; nothing was found to check")


def timing(bench: Bench) -> str:
    """The times in a result are there, not negative, and no longer than the answer took."""
    slowest = 0.0
    for seen in _results(bench):
        times = seen.result.get("timing")
        if not isinstance(times, dict):
            raise Broken(f"timing is {times!r}, expected a map")
        for name in STAGES:
            if not is_time(times.get(name)):
                raise Broken(f"timing.{name} is {times.get(name)!r}, expected a number of at least 0")
        if times["total_ms"] > seen.wall_ms + _CLOCK_MS:
            took = f"the answer took {seen.wall_ms:.1f} ms"
            raise Broken(f"timing.total_ms is {times['total_ms']:.1f}, but {took}")
        slowest = max(slowest, times["total_ms"])
    return f"total_ms at most {slowest:.1f}, never above the time until the answer"


def _results(bench: Bench) -> list[Seen]:
    if not bench.seen:
        raise Broken("there was no result at all")
    return bench.seen


def _detections(seen: Seen) -> Iterator[dict[str, Any]]:
    data = seen.result.get("data")
    found = data.get("detections") if isinstance(data, dict) else None
    # What is no list of maps is the business of `fields`.
    yield from (item for item in (found if isinstance(found, list) else []) if isinstance(item, dict))


def _check_box(item: dict[str, Any], width: int, height: int) -> None:
    box = item.get("bbox")
    if not isinstance(box, dict) or not all(
        is_number(box.get(side)) for side in ("x", "y", "width", "height")
    ):
        raise Broken(f"bbox {box!r}: expected finite numbers x, y, width, height")
    left, top, right, bottom = box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]
    inside = left >= 0 and top >= 0 and right <= width + _ROUNDING_PX and bottom <= height + _ROUNDING_PX
    if not inside or box["width"] <= 0 or box["height"] <= 0:
        raise Broken(f"bbox {box} does not lie in the frame of {width}x{height} px")
    confidence, label = item.get("confidence"), item.get("label")
    if not is_number(confidence) or not 0 <= confidence <= 1:
        raise Broken(f"confidence {confidence!r} is not a number from 0 to 1")
    if not isinstance(label, str) or not label:
        raise Broken(f"label {label!r} is no text")


def _check_suggested(result: dict[str, Any]) -> None:
    rect = result.get("suggested_roi")
    if rect is None:
        return
    if not isinstance(rect, dict) or not all(is_number(rect.get(k)) for k in ("x", "y", "width", "height")):
        raise Broken(f"suggested_roi is {rect!r}, expected nil or numbers x, y, width, height")
    low, size = (rect["x"], rect["y"]), (rect["width"], rect["height"])
    ends = [start + length for start, length in zip(low, size, strict=True)]
    if min(low) < 0 or min(size) <= 0 or max(ends) > 1 + 1e-6:
        raise Broken(f"suggested_roi {rect} does not lie in 0..1")
