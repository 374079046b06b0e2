# SPDX-License-Identifier: MPL-2.0
"""Measures what several cameras cost in one daemon, with workers of their own and with shared ones.

RTSP cameras on loopback (not counted), one daemon with its own broker (counted), and one of the cameras
dying again and again: the others must not notice. Prints some lines for each way to share workers, and
fails where the rate of a camera that lives is off by more than 5 %. `make build setup` makes what this runs.
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import paho.mqtt.client as paho  # noqa: E402  (these need the path above)
from running import Program  # noqa: E402
from usage import usage  # noqa: E402

TOLERANCE = 0.05
"""How far a living camera's rate may be off, as a fraction of what was asked for."""


@dataclass
class Heard:
    """Results as they came, by camera: moment of arrival (s) and latency from capture to publish (ms)."""

    results: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def take(self, payload: bytes) -> None:
        result = json.loads(payload)
        entry = (time.monotonic(), result["latency_ms"])
        self.results.setdefault(result["instance_id"], []).append(entry)

    def between(self, camera: str, start: float, end: float) -> list[tuple[float, float]]:
        return [entry for entry in list(self.results.get(camera, [])) if start <= entry[0] < end]


@dataclass(frozen=True)
class Outcome:
    """Of one run."""

    good: bool
    """Whether every camera that lives had its rate, and the daemon ended well."""
    share: float
    """CPU seconds a second and camera."""


def main() -> int:
    """Read the command line, measure each way to share workers, print."""
    parser = argparse.ArgumentParser(description="What several cameras cost in one daemon.")
    data = Path(os.environ.get("ORION_TEST_DATA") or ROOT.parent / "shared" / "data")
    built = ROOT / "target" / "release"

    def option(name: str, default: object, help_text: str, **more: object) -> None:
        text = f"{help_text}; default: %(default)s"
        parser.add_argument(name, type=type(default), default=default, help=text, **more)

    option("--data", data, "folder that holds models")
    option("--model", "yoloxn_fp32", "start of the model's file names")
    option("--built", built, "folder of the programs")
    option("--fps", 5, "of a camera")
    option("--rate", 1.0, "looks a second at each camera")
    option("--seconds", 120, "of each measurement")
    option("--dies-every", 60, "seconds between two deaths of a camera, 0 = never")
    parser.add_argument("--cameras", type=int, nargs="+", default=[8], metavar="N", help="default: 8")
    pools = ["own", "1", "2"]
    parser.add_argument("--pools", nargs="+", default=pools, metavar="N|own", help="workers that all share")
    options = parser.parse_args()
    models = options.data / "models"
    if not (models / f"{options.model}_640.onnx").is_file():
        print(f"no {options.model}_640.onnx in {models}: give --data and --model", file=sys.stderr)
        return 2
    good = True
    for cameras in options.cameras:
        for pool in options.pools:
            good &= observe(options, cameras, pool).good
    return 0 if good else 1


def observe(options: argparse.Namespace, cameras: int, pool: str) -> Outcome:
    """One run, told on standard output."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sources = [Camera(options) for _ in range(cameras)]
        for source in sources:
            stack.callback(source.kill)
        file = folder / "orion.yaml"
        file.write_text(json.dumps(configuration(options, pool, [source.url for source in sources])))
        daemon = Program([options.built / "orion-launch", "--config", file, "--log-format", "text"])
        stack.callback(daemon.kill)
        port = daemon.wait_for_line(r"is running.*mqtt://127\.0\.0\.1:(\d+)", 120)[1]
        heard = stack.enter_context(listening(int(port)))
        end = time.monotonic() + 60
        while len(heard.results) < cameras or min(map(len, heard.results.values())) < 5:
            if time.monotonic() > end:
                raise RuntimeError(f"not all cameras gave results:\n{daemon.output}")
            time.sleep(0.1)

        start, used = time.monotonic(), [usage(daemon.pid)]
        while (now := time.monotonic()) < start + options.seconds:
            wanted = options.dies_every and (now - start) % options.dies_every
            # Away for the last 5 s of each period; never away at the end.
            sources[0].is_there(not options.dies_every or wanted < options.dies_every - 5)
            if now - start >= 10 * len(used):
                used.append(usage(daemon.pid))
            time.sleep(0.1)
        used.append(usage(daemon.pid))
        stop = time.monotonic()
        daemon.signal(15)
        status = daemon.wait(30)
    names = [name(number) for number in range(cameras)]
    living = names[1:] if options.dies_every else names
    seen = {camera: heard.between(camera, start, stop) for camera in names}
    rates = {camera: len(entries) / (stop - start) for camera, entries in seen.items()}
    slowest, fastest = min(rates[camera] for camera in living), max(rates[camera] for camera in living)
    latencies = sorted(latency for camera in living for _, latency in seen[camera])
    longest = max(gap for camera in living for gap in intervals(seen[camera]))
    first, last = used[1], used[-1]
    share = (last.cpu_s - used[0].cpu_s) / (stop - start) / cameras
    workers = "workers of their own" if pool == "own" else f"workers shared: {pool}"
    for line in (
        f"{cameras} cameras, {workers}, {stop - start:.0f} s, exit {status}",
        f"  Hz, those that live: {slowest:.3f} to {fastest:.3f} of {options.rate}",
        f"  longest gap between their results {longest:.2f} s",
        f"  Hz, {names[0]}: {rates[names[0]]:.3f} with {sources[0].deaths} deaths",
        f"  latency, capture to publish: p50 {statistics.median(latencies):.1f} ms,"
        f" p99 {latencies[int(len(latencies) * 0.99)]:.1f} ms",
        f"  a camera: CPU {share:.2%} of a core, memory {last.memory_mib / cameras:.1f} MiB",
        f"  all, after 10 s and at the end: files {first.files} {last.files},"
        f" threads {first.threads} {last.threads}",
        f"  MiB of their own, each minute: {' '.join(f'{use.own_mib:.1f}' for use in [*used[1:-1:6], last])}",
    ):
        print(line, flush=True)
    off = max(1 - slowest / options.rate, fastest / options.rate - 1)
    return Outcome(off <= TOLERANCE and status == 0, share)


class Camera:
    """An RTSP camera that may be killed, and comes back at the same address."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.deaths = 0
        self._argv = [options.built / "orion-camera", "--fps", options.fps, "--width", 640, "--height", 360]
        self._program = Program(self._argv)
        self.url = self._program.wait_for_line(r"rtsp://\S+")[0]
        self._port = re.search(r":(\d+)/", self.url)[1]

    def is_there(self, wanted: bool) -> None:
        if wanted and not self._program.is_running():
            self._program = Program([*self._argv, "--port", self._port])
            self.deaths += 1
        elif not wanted and self._program.is_running():
            self.kill()

    def kill(self) -> None:
        self._program.kill()


def name(number: int) -> str:
    """The instance id of a camera."""
    return f"camera-{number}"


def configuration(options: argparse.Namespace, pool: str, urls: list[str]) -> dict[str, object]:
    """Of the daemon."""
    models = options.data / "models"
    detector = {
        "model_path": str(models / f"{options.model}_640.onnx"),
        "model_path_320": str(models / f"{options.model}_320.onnx"),
        "max_inference_rate_hz": options.rate,
    }
    if pool != "own":
        detector |= {"worker_group": "all", "workers": int(pool)}
    return {
        "instance_id": "fleet",
        "http": {"bind": "127.0.0.1:0"},
        "mqtt": {"embedded": True, "uri": "mqtt://127.0.0.1:0"},
        "stream": {"warmup_duration_s": 0},
        "models": {"person_detector": detector},
        "cameras": [
            {"instance_id": name(number), "camera": {"rtsp_url": url}} for number, url in enumerate(urls)
        ],
    }


@contextlib.contextmanager
def listening(port: int) -> Iterator[Heard]:
    """Results from then on."""
    heard, subscribed = Heard(), threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: heard.take(message.payload)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.subscribe("care/inferences/+/person_detection", 1)
    client.loop_start()
    if not subscribed.wait(10):
        raise RuntimeError("the broker does not answer")
    yield heard
    client.loop_stop()


def intervals(entries: list[tuple[float, float]]) -> list[float]:
    """Times between results, s."""
    moments = [moment for moment, _ in entries]
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


if __name__ == "__main__":
    sys.exit(main())
