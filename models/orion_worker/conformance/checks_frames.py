# SPDX-License-Identifier: MPL-2.0
"""Frames that deserve a result: formats, sizes, regions, and the freedoms of the protocol."""

import time
from typing import Any

from orion_worker.conformance.bench import Bench, error_text
from orion_worker.conformance.host import Broken
from orion_worker.conformance.outcome import Skipped
from orion_worker.conformance.pictures import FORMATS

SIZES = ((640, 480), (63, 47), (1, 1), (1920, 1080))


def formats(bench: Bench) -> str:
    """It reads at least one format; the other checks then use the first one that it reads."""
    read = []
    for encoding in FORMATS:
        answer = bench.ask(bench.frame(encoding))
        if answer["type"] != "error":
            read.append(encoding)
        elif answer.get("code") != "unsupported_format":
            raise Broken(f"it answered a good {encoding} frame with {error_text(answer)}")
    if not read:
        raise Broken(f"it reads none of {', '.join(FORMATS)}")
    bench.encoding = read[0]
    return f"reads {', '.join(read)}"


def picture_format(bench: Bench, encoding: str) -> str:
    """Pictures of a format in usual, odd, tiny and large sizes are answered by a result."""
    for width, height in SIZES:
        frame = bench.frame(encoding, width, height)
        answer = bench.ask(frame)
        if answer["type"] == "error":
            if answer.get("code") == "unsupported_format":
                raise Skipped(f"it does not read {encoding}")
            raise Broken(f"it answered {encoding} of {width}x{height} px with {error_text(answer)}")
    return ", ".join(f"{width}x{height}" for width, height in SIZES)


def region(bench: Bench) -> str:
    """Frames with a region of attention, and with none in `roi_processing`, are answered by a result."""
    rects: list[dict[str, float] | None] = [
        {"x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5},
        {"x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0},
        {"x": 0.99, "y": 0.0, "width": 0.01, "height": 0.01},
        None,
    ]
    for rect in rects:
        for side in (640, 320):
            asked: dict[str, Any] = {"target_size": side, "crop_applied": False, "merged_roi": rect}
            asked |= {"source": "external" if rect else "", "attention_rois": [rect] if rect else []}
            frame = bench.frame("", 640, 480, meta={"roi_processing": asked})
            bench.result(frame, what=f"a frame with merged_roi {rect} and target_size {side}")
    return f"{len(rects)} regions with both target sizes"


def no_type(bench: Bench) -> str:
    """A message without `type` is a frame."""
    frame = bench.frame()
    del frame.message["type"]
    bench.result(frame, what="a frame without type")
    return "taken for a frame"


def unknown_fields(bench: Bench) -> str:
    """Fields that it does not know are ignored."""
    extra = {"x_new": {"a": [1, None, b"bytes"]}}
    bench.result(bench.frame(meta=extra, x_colour="red"), what="a frame with fields of a later version")
    return "ignored"


def two_at_once(bench: Bench) -> str:
    """Two frames sent at once are both answered, in order."""
    host = bench.worker()
    frames = [bench.frame("", 640, 480, step=step) for step in range(2)]
    start = time.perf_counter()
    host.send(*(frame.message for frame in frames))
    # Not noted as results: with the order wrong, what is wrong with each says nothing.
    got = [host.receive().get("frame_seq") for _ in frames]
    wanted = [frame.seq for frame in frames]
    if got != wanted:
        raise Broken(f"frames {wanted} were answered in the order {got}")
    return f"both answered after {1e3 * (time.perf_counter() - start):.1f} ms"
