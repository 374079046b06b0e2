# SPDX-License-Identifier: MPL-2.0
"""A camera that is faster than the network: ours stays at the newest frame, a plain script falls behind."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime

from heard import Result, hearing
from mqtt import Broker
from rounds import percentile
from rows import Row, Target
from setting import Setting, running

BENCH = "live"
FPS = 30
NAME = "yolov8s_standin_fp32"
SPARE_MS = 50


def measure(setting: Setting, seconds: float | None = None) -> Iterator[Row]:
    """30 frames a second of 720p H.264 over RTSP; ours first, then the script, at a camera of its own."""
    seconds = seconds or (60 if setting.quick else 600)
    clip = setting.clip("mp4", 10 * FPS, FPS)
    broker = Broker(setting.folder)
    broker.start()
    try:
        setting.others.settle()
        ours, came = daemon(setting, broker, clip, seconds)
        setting.others.settle()
        behind = script(setting, broker, clip, seconds / 2)
        setting.others.look()
    finally:
        broker.stop()
    gaps = [1e3 * (later - earlier) for earlier, later in itertools.pairwise(came)]
    period = percentile(gaps, 50)
    most = Target("ours", "at most", 2 * period + SPARE_MS)
    note = f"{seconds:.0f} s of 720p at {FPS} Hz, {NAME}_640, 2 threads, one result each {period:.0f} ms"
    what = "capture to subscriber, p99; partner: plain script at its end, after half the time"
    yield Row(BENCH, what, "ms", percentile(ours, 99), behind[-1], target=most, note=note)
    quarter = len(ours) // 4
    growth = percentile(ours[-quarter:], 50) - percentile(ours[:quarter], 50)
    theirs = behind[-1] - behind[0]
    what = "growth of it, last against first quarter; partner: plain script, from its start to its end"
    note = f"p50 {percentile(ours, 50):.0f} ms"
    yield Row(BENCH, what, "ms", growth, theirs, target=Target("ours", "at most", SPARE_MS), note=note)


def daemon(setting: Setting, broker: Broker, clip, seconds: float) -> tuple[list[float], list[float]]:
    """Delays of our results when they are heard, ms, and the moments of that, s."""
    with setting.camera("--clip", clip) as url, hearing(broker.port, "care/inferences/#") as heard:
        config = {
            "instance_id": "bench",
            "camera": {"rtsp_url": url},
            "stream": {"warmup_duration_s": 0, "resolution": "720p", "fps": FPS},
            "models": {
                "person_detector": {
                    "model_path": str(setting.model(640, NAME)),
                    "model_path_320": str(setting.model(320, NAME)),
                    "max_inference_rate_hz": FPS,
                    "threads": 2,
                }
            },
            "mqtt": {"uri": broker.uri},
            "http": {"bind": ""},
        }
        with setting.daemon(config) as program:
            results = collect(heard, program, seconds)
    delays = [(result.clock_ns - clock_ns(result.read()["timestamp"])) / 1e6 for result in results]
    return delays, [result.came_s for result in results]


def script(setting: Setting, broker: Broker, clip, seconds: float) -> list[float]:
    """How much further behind its camera the script is than at its first result, ms, by the stream's time."""
    topic = "care/script/bench"
    argv = (setting.model(640, NAME), 2, broker.port, topic)
    with (
        setting.camera("--clip", clip) as url,
        hearing(broker.port, topic) as heard,
        running(setting.python("plain_script.py", url, *argv)) as program,
    ):
        results = collect(heard, program, seconds)
    first = results[0]
    zero = first.read()["position_ms"]
    return [
        1e3 * (result.came_s - first.came_s) - (result.read()["position_ms"] - zero) for result in results
    ]


def collect(heard, program, seconds: float) -> Sequence[Result]:
    """Results of so many seconds, after the first ten."""
    heard.wait_for(10, program)
    start = heard.results[9].came_s
    while heard.results[-1].came_s < start + seconds:
        heard.wait_for(len(heard.results) + 1, program, 30)
    return heard.results[10:]


def clock_ns(text: str) -> int:
    """An RFC 3339 moment in UTC, ns since 1970."""
    whole, _, part = text.rstrip("Z").partition(".")
    seconds = round(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int(part.ljust(9, "0") or 0)
