# SPDX-License-Identifier: MPL-2.0
"""Frames a second and CPU time a frame, from source to broker, against the floor and a plain script."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from heard import hearing
from mqtt import Broker
from rounds import alternate, ratio
from rows import Row, Target
from running import Program
from setting import Setting, running
from usage import cpu_seconds

THREADS = 2
PAIR = "workers=2 intra-op-threads=1"
"""Two frames at a time, each on a core of its own: threads of one frame wait for each other."""

SKIPPED = 0.2
"""Share of the frames that come before the watch is started."""

TARGETS = {640: (0.90, 1.15), 320: (0.75, 1.25)}
"""Least ratios of our rate: to the floor's and to the script's."""


@dataclass(frozen=True)
class Speed:
    """Of one run."""

    fps: float
    cpu_ms: float
    """Of all processes, a frame."""


def measure(setting: Setting, side: int) -> Iterator[Row]:
    """Raw pictures: ours, the floor, and the script, with threads that spin (the default) and that do not."""
    with Ways(setting, side, f"rate-{side}") as ways:
        raw = ways.clip("y4m")
        ways.run(
            {
                "ours": ways.ours(f"{raw} ! y4mdec"),
                "pair": ways.ours(f"{raw} ! y4mdec", PAIR),
                "floor": ways.floor,
                "script": ways.script(raw),
                "calm script": ways.script(raw, "calm"),
            }
        )
    least = [Target("ratio", "at least", limit) for limit in TARGETS[side]]
    yield ways.row("720p raw; partner: session.run alone", "ours", "floor", least[0])
    yield ways.row("720p raw; partner: plain script", "ours", "script", least[1])
    yield ways.row("720p raw; partner: plain script without spinning", "ours", "calm script")
    most = Target("ratio", "at most", 0.9)
    yield ways.row("720p raw; partner: plain script", "ours", "script", most, "cpu_ms")
    yield ways.row("720p raw; partner: plain script without spinning", "ours", "calm script", None, "cpu_ms")
    yield ways.row("720p raw; partner: session.run alone", "ours", "floor", None, "cpu_ms")
    pair = "720p raw, two workers of one thread; partner:"
    yield ways.row(f"{pair} session.run alone", "pair", "floor", least[0])
    yield ways.row(f"{pair} plain script", "pair", "script", least[1])
    yield ways.row(f"{pair} plain script", "pair", "script", most, "cpu_ms")
    yield ways.row(f"{pair} session.run alone", "pair", "floor", None, "cpu_ms")


def measure_without(setting: Setting, side: int) -> Iterator[Row]:
    """Ourselves without each improvement that can be switched; and a coded source."""
    with Ways(setting, side, f"ways-{side}") as ways:
        raw, coded = ways.clip("y4m"), ways.clip("mp4")
        ways.run(
            {
                "ours": ways.ours(f"{raw} ! y4mdec"),
                "pipe": ways.ours(f"{raw} ! y4mdec", f"intra-op-threads={THREADS} transport=pipe"),
                "JPEG": ways.ours(f"{raw} ! y4mdec ! jpegenc"),
                "ours, H.264": ways.ours(f"{coded} ! qtdemux ! h264parse ! avdec_h264"),
                "script, H.264": ways.script(coded),
            }
        )
    for of in ("fps", "cpu_ms"):
        yield ways.row("720p raw, shared memory; partner: transport=pipe", "ours", "pipe", None, of)
        yield ways.row("720p raw; partner: JPEG to the worker, encoder included", "ours", "JPEG", None, of)
        yield ways.row("720p H.264 file; partner: plain script", "ours, H.264", "script, H.264", None, of)


class Ways:
    """The ways from a picture to the broker, with one size of network, and what they gave."""

    def __init__(self, setting: Setting, side: int, bench: str) -> None:
        self._setting, self._bench = setting, bench
        sizes = {640: (80, 2), 320: (160, 3)} if setting.quick else {640: (150, 3), 320: (400, 4)}
        self._frames, self._rounds = sizes[side]
        self._model = setting.model(side)
        self._broker = Broker(setting.folder)
        self._found: dict[str, list[Speed]] = {}

    def __enter__(self) -> "Ways":
        self._broker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._broker.stop()

    def clip(self, suffix: str) -> Path:
        """As many frames as are looked at."""
        return self._setting.clip(suffix, self._frames)

    def ours(self, source: str, more: str = "") -> Callable[[], Speed]:
        """The elements in gst-launch-1.0."""
        text = (
            f"filesrc location={source} ! orionroi instance-id=bench"
            f" ! orionpyinfer model-file={self._model} {more or f'intra-op-threads={THREADS}'}"
            f" ! orionmqttsink uri={self._broker.uri}"
        )
        return lambda: self._watched(self._setting.pipeline(text))

    def script(self, source: Path, *more: str) -> Callable[[], Speed]:
        """The plain script."""
        topic = "care/inferences/bench/script"
        argv = ("plain_script.py", source, self._model, THREADS, self._broker.port, topic, *more)
        return lambda: self._watched(running(self._setting.python(*argv)))

    def floor(self) -> Speed:
        """ONNX Runtime alone."""
        found = self._setting.floor(THREADS, self._frames, self._model)
        return Speed(found["fps"], found["cpu_ms"])

    def run(self, ways: Mapping[str, Callable[[], Speed]]) -> None:
        """All of them in turns."""
        self._found = alternate(ways, self._rounds, self._setting.others.settle)

    def row(self, what: str, our: str, their: str, target: Target | None = None, of: str = "fps") -> Row:
        """Two ways compared."""
        our_values, their_values = ([getattr(s, of) for s in self._found[name]] for name in (our, their))
        middles = [statistics.median(values) for values in (our_values, their_values)]
        unit = {"fps": "frames/s", "cpu_ms": "CPU ms/frame"}[of]
        note = f"{THREADS} threads, medians of {self._rounds} rounds of {self._frames} frames"
        return Row(self._bench, what, unit, *middles, ratio(our_values, their_values), target, note)

    def _watched(self, started: AbstractContextManager[Program]) -> Speed:
        """The speed of a program that publishes a result a frame: what it does after the first ones."""
        with hearing(self._broker.port, "care/inferences/#") as heard, started as program:
            heard.wait_for(round(self._frames * SKIPPED), program)
            first, used = len(heard.results), cpu_seconds(program.pid)
            # It ends with the last frame, and its CPU time with it.
            heard.wait_for(self._frames - 2, program)
            last, used = len(heard.results), cpu_seconds(program.pid) - used
            took = heard.results[last - 1].came_s - heard.results[first - 1].came_s
        return Speed((last - first) / took, 1e3 * used / (last - first))
