# SPDX-License-Identifier: MPL-2.0
"""What the daemon and its worker use while inference is paused."""

import contextlib
import time
from collections.abc import Iterator

from heard import hearing
from mqtt import Broker
from rows import Row, Target
from setting import Setting
from usage import cpu_seconds

BENCH = "idle"


def measure(setting: Setting) -> Iterator[Row]:
    """With the test picture and with a camera; HTTP is on, nobody asks."""
    seconds = 15 if setting.quick else 60
    for what in ("worker alone", "with the test picture", "with an RTSP camera, 640x480 at 15 Hz"):
        setting.others.settle()
        broker = Broker(setting.folder)
        broker.start()
        with contextlib.ExitStack() as stack:
            stack.callback(broker.stop)
            url = stack.enter_context(setting.camera()) if "RTSP" in what else ""
            detector = {
                "model_path": str(setting.model(640)),
                "model_path_320": str(setting.model(320)),
                "threads": 2,
            }
            config = {
                "instance_id": "bench",
                "camera": {"rtsp_url": url},
                "stream": {"warmup_duration_s": 0},
                "models": {"person_detector": detector},
                "mqtt": {"uri": broker.uri},
                "http": {"bind": "127.0.0.1:0"},
            }
            heard = stack.enter_context(hearing(broker.port, "care/inferences/#"))
            daemon = stack.enter_context(setting.daemon(config))
            heard.wait_for(10, daemon)
            answers = stack.enter_context(hearing(broker.port, "care/health/#"))
            heard.publish("care/control/bench", '{"command": "pause_inference"}')
            answers.wait_for(1, daemon)
            if answers.results[0].read().get("status") != "success":
                raise RuntimeError(f"not paused: {answers.results[0].payload!r}")
            time.sleep(2)
            count, start, used = len(heard.results), time.perf_counter(), cpu_of(daemon.pid, what)
            time.sleep(seconds)
            took, used = time.perf_counter() - start, cpu_of(daemon.pid, what) - used
            if len(heard.results) != count:
                raise RuntimeError("results came while inference was paused")
        setting.others.look()
        share, target = 100 * used / took, Target("ours", "at most", 1)
        yield Row(BENCH, f"paused, {what}", "% of a core", share, target=target, note=f"{seconds} s")


def cpu_of(pid: int, what: str) -> float:
    """CPU seconds of the daemon with its workers, or only of these."""
    from running import workers

    return sum(map(cpu_seconds, workers(pid))) if what == "worker alone" else cpu_seconds(pid)
