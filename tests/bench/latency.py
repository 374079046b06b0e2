# SPDX-License-Identifier: MPL-2.0
"""What passes between the capture of a frame and its result, besides inference, at ten looks a second."""

from collections.abc import Iterator

from heard import hearing
from mqtt import Broker
from rounds import percentile
from rows import Row, Target
from setting import Setting

BENCH = "latency"
RATE_HZ = 10
MOST_MS = {"raw": 5, "jpeg": 10}


def measure(setting: Setting) -> Iterator[Row]:
    """The daemon on its moving test picture, 720p."""
    looks = 200 if setting.quick else 1200
    for way, most in MOST_MS.items():
        setting.others.settle()
        broker = Broker(setting.folder)
        broker.start()
        config = {
            "instance_id": "bench",
            "stream": {"warmup_duration_s": 0, "resolution": "720p", "fps": RATE_HZ, "format": way},
            "models": {
                "person_detector": {
                    "model_path": str(setting.model(640)),
                    "model_path_320": str(setting.model(320)),
                    "max_inference_rate_hz": RATE_HZ,
                    "threads": 2,
                }
            },
            "mqtt": {"uri": broker.uri},
            "http": {"bind": ""},
        }
        try:
            with hearing(broker.port, "care/inferences/#") as heard, setting.daemon(config) as daemon:
                heard.wait_for(20, daemon)
                heard.wait_for(20 + looks, daemon, looks / RATE_HZ + 60)
                results = [result.read() for result in heard.results[20:]]
        finally:
            broker.stop()
        setting.others.look()
        rest = [result["latency_ms"] - result["timing"]["inference_ms"] for result in results]
        note = f"{len(rest)} frames of 720p at {RATE_HZ} Hz; p50 {percentile(rest, 50):.1f} ms"
        what = f"capture to publish less inference, {way}, p99"
        yield Row(BENCH, what, "ms", percentile(rest, 99), target=Target("ours", "at most", most), note=note)
