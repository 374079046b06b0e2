# SPDX-License-Identifier: MPL-2.0
"""GStreamer's own way from a picture to boxes, `onnxinference ! yolov8tensordec`, against ours.

It needs GStreamer 1.28, so it runs in another system's root: `sh tests/bench/gstreamer_root.sh DIR` makes
one, and `ORION_GSTREAMER_ROOT=DIR make bench ONLY=onnxinference` measures. Both run our own person model on
the same raw pictures and throw the boxes away.
"""

import os
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rounds import alternate, ratio
from rows import Row
from setting import Setting

BENCH = "onnxinference"
ROOT = "ORION_GSTREAMER_ROOT"
MODELS = Path(__file__).resolve().parents[2] / "models"
FEW = 10
"""Frames of the short run, which is start and end: the long one less this is the time of the frames."""

CELLS = {640: 8400, 320: 2100}
MODELINFO = """[modelinfo]
version=1.0
group-id=yolo-v8-out

[images]
id=images
type=float32
dims=1,3,{side},{side}
dir=input
ranges=0.0,1.0;0.0,1.0;0.0,1.0

[output0]
id=yolo-v8-out
type=float32
dims=1,5,{cells}
dir=output
dims-order=col-major
"""
"""What onnxinference wants to know of a model."""


def measure(setting: Setting) -> Iterator[Row]:
    """Frames a second and CPU time a frame at both sizes."""
    root = Path(os.environ.get(ROOT, "/nowhere"))
    if not (root / "usr/bin/gst-launch-1.0").exists():
        raise RuntimeError(f"{ROOT} names no root with GStreamer in it: sh tests/bench/gstreamer_root.sh DIR")
    there = root / "orion-bench"
    there.mkdir(exist_ok=True)
    try:
        for side in (640, 320):
            yield from _side(setting, root, there, side)
    finally:
        shutil.rmtree(there)


def _side(setting: Setting, root: Path, there: Path, side: int) -> Iterator[Row]:
    frames, rounds = (60, 2) if setting.quick else ({640: 150, 320: 300}[side], 3)
    model = MODELS / f"orion_person_{side}.onnx"
    shutil.copy(model, there)
    info = MODELINFO.format(side=side, cells=CELLS[side])
    (there / f"{model.name}.modelinfo").write_text(info)
    clips = {count: setting.clip("y4m", count) for count in (FEW, frames)}
    for clip in clips.values():
        shutil.copy(clip, there)

    def theirs(count: int) -> Sequence[str]:
        text = (
            f"filesrc location=/orion-bench/{clips[count].name} ! y4mdec ! videoconvertscale"
            f" ! video/x-raw,format=RGB,width={side},height={side}"
            f" ! onnxinference optimization-level=enable-all model-file=/orion-bench/{model.name}"
            f" ! yolov8tensordec ! fakesink"
        )
        return [*inside(root), "gst-launch-1.0", "-q", *text.split()]

    def ours(count: int, more: str) -> Sequence[str]:
        text = (
            f"filesrc location={clips[count]} ! y4mdec ! orionroi"
            f" ! orionpyinfer model-file={model} {more} ! fakesink"
        )
        return ["gst-launch-1.0", "-q", *text.split()]

    ways = {
        "ours": lambda: _speed(
            setting, ours(FEW, "intra-op-threads=2"), ours(frames, "intra-op-threads=2"), frames
        ),
        "pair": lambda: _speed(
            setting,
            ours(FEW, "workers=2 intra-op-threads=1"),
            ours(frames, "workers=2 intra-op-threads=1"),
            frames,
        ),
        "theirs": lambda: _speed(setting, theirs(FEW), theirs(frames), frames),
    }
    found = alternate(ways, rounds, setting.others.settle)
    note = f"orion_person_{side}, medians of {rounds} rounds of {frames} frames"
    for name, what in (("ours", "one worker, two threads"), ("pair", "two workers of one thread")):
        for at, unit in enumerate(("frames/s", "CPU ms/frame")):
            a, b = ([values[at] for values in found[way]] for way in (name, "theirs"))
            what_for = f"720p raw at {side}, {what}; partner: onnxinference ! yolov8tensordec"
            yield Row(
                BENCH, what_for, unit, statistics.median(a), statistics.median(b), ratio(a, b), None, note
            )


def inside(root: Path) -> Sequence[str]:
    """What goes before a command that is to run in a root. ONNX Runtime counts cores in /sys and /proc."""
    mounted = 'mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && exec chroot "$0" "$@"'
    return ["unshare", "--mount", "sh", "-c", mounted, str(root)]


def _speed(setting: Setting, few: Sequence[str], many: Sequence[str], frames: int) -> tuple[float, float]:
    """Frames a second, and CPU ms a frame of all processes."""
    (short_s, short_cpu), (long_s, long_cpu) = (_run(setting, argv) for argv in (few, many))
    count = frames - FEW
    return count / (long_s - short_s), 1e3 * (long_cpu - short_cpu) / count


def _run(setting: Setting, argv: Sequence[str]) -> tuple[float, float]:
    """Seconds of the wall and of CPU that a program takes, with what it starts."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, env=os.environ | setting.env, capture_output=True, text=True, timeout=300)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: status {done.returncode}: {done.stderr.strip()[-300:]}")
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
