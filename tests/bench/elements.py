# SPDX-License-Identifier: MPL-2.0
"""What `orionroi` and `orionmqttsink` cost the streaming thread: with them and without, in turns."""

import statistics
import time
from collections.abc import Callable, Iterator

from mqtt import Broker
from rounds import alternate
from rows import Row, Target
from setting import Setting
from usage import thread_seconds

BENCH = "elements"
FPS = 100
QUEUE = "queue name=watched"
"""The thread behind it is the one that is measured."""


def measure(setting: Setting) -> Iterator[Row]:
    """CPU time of a thread behind a queue, a frame, less that of a thread that only has the queue."""
    seconds, rounds = (3.0, 3) if setting.quick else (20.0, 5)
    broker = Broker(setting.folder)
    broker.start()
    caps = f"video/x-raw,format=I420,width=640,height=480,framerate={FPS}/1"
    source = f"videotestsrc is-live=true pattern=black ! {caps}"
    worker = setting.built / "orion-stub-worker"
    answered = f"{source} ! orionroi instance-id=bench ! orionpyinfer worker-command={worker}"
    rest = "fakesink sync=false"
    try:

        def each(text: str) -> Callable[[], float]:
            return lambda: frame_us(setting, text, seconds)

        found = alternate(
            {
                "none": each(f"{source} ! {QUEUE} ! {rest}"),
                "roi": each(f"{source} ! {QUEUE} ! orionroi instance-id=bench ! {rest}"),
                "answered": each(f"{answered} ! {QUEUE} ! {rest}"),
                "sink": each(f"{answered} ! {QUEUE} ! orionmqttsink uri={broker.uri}"),
            },
            rounds,
            setting.others.settle,
        )
    finally:
        broker.stop()
    note = f"{FPS} frames a second, medians of {rounds} rounds of {seconds:.0f} s"
    for what, with_it, without, most in (
        ("orionroi, streaming thread", "roi", "none", 20),
        ("orionmqttsink, streaming thread", "sink", "answered", 50),
    ):
        spent = [one - other for one, other in zip(found[with_it], found[without], strict=True)]
        target = Target("ours", "at most", most)
        yield Row(BENCH, what, "CPU µs a frame", statistics.median(spent), target=target, note=note)


def frame_us(setting: Setting, text: str, seconds: float) -> float:
    """CPU time of the thread behind the queue, µs a frame."""
    with setting.pipeline(text) as program:
        end = time.monotonic() + 30
        while thread_seconds(program.pid, "watched:src") < 0.005:
            if not program.is_running() or time.monotonic() > end:
                raise RuntimeError(f"no frames: {program.output[-1000:]}")
            time.sleep(0.05)
        start, used = time.perf_counter(), thread_seconds(program.pid, "watched:src")
        time.sleep(seconds)
        used = thread_seconds(program.pid, "watched:src") - used
        return 1e6 * used / ((time.perf_counter() - start) * FPS)
