# SPDX-License-Identifier: MPL-2.0
"""Measures what a viewer of the live page costs: inference rate and CPU of the daemon, with one and without.

The viewer takes all events and every picture, as the page does. The daemon looks at a clip in real time with
the shipped person detector; needs mosquitto and a built daemon (ORION_BUILT, default target/release).
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("ORION_BUILT", str(ROOT / "target" / "release"))
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from mqtt import Broker, Listener  # noqa: E402  (these need the path above)
from running import BUILT, Program  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


class Viewer:
    """Takes everything, on a thread of its own, until it is closed."""

    def __init__(self, port: int) -> None:
        self.pictures = 0
        self._port = port
        self._live = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._live.request("GET", "/api/live")
        self._answer = self._live.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self._over = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        pictures = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        kind = b""
        for line in self._answer:
            if self._over:
                break
            if line.startswith(b"event: "):
                kind = line[7:].strip()
            elif line.startswith(b"data: ") and kind == b"result":
                result = json.loads(line[6:])
                pictures.request("GET", f"/api/cameras/{result['camera']}/frames/{result['seq']}.jpg")
                picture = pictures.getresponse()
                self.pictures += bool(picture.read()) and picture.status == 200
        pictures.close()

    def close(self) -> None:
        """Goes away."""
        self._over = True
        self._thread.join(10)
        self._live.close()


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, its children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="What a viewer of the live page costs.")
    default = Path(os.environ.get("ORION_TEST_DATA") or ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, metavar="DIR", default=default, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each part; default: %(default)s")
    parser.add_argument("--rate", type=float, default=5.0, help="Hz that is asked for; default: %(default)s")
    parser.add_argument("--format", choices=["jpeg", "raw"], default="jpeg", help="default: %(default)s")
    options = parser.parse_args()
    if not (options.data / "models").is_dir():
        print(f"no test data in {options.data}: give --data or set ORION_TEST_DATA", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))
    return 0


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Runs daemon, broker and viewer, and prints a line a part and the ratios."""
    clip = options.data / "clips" / "one-by-one-person-detection.mp4"
    person = {"model_dir": str(options.data / "models"), "max_inference_rate_hz": options.rate}
    broker = Broker(folder)
    broker.start()
    config = {
        "camera": {"file": str(clip), "loop": True},
        "stream": {"warmup_duration_s": 0, "format": options.format},
        "models": {"person_detector": person},
        "mqtt": {"uri": broker.uri},
        "http": {"bind": "127.0.0.1:0"},
    }
    file = folder / "orion.yaml"
    file.write_text(json.dumps(config))
    daemon = Program([str(BUILT / "orion-launch"), "--config", str(file), "--log-format", "text"])
    try:
        listener = Listener(broker.port)
        port = int(daemon.wait_for_line(r"live page: http://\S+:(\d+)/").group(1))
        results = lambda: sum(topic.startswith("care/inferences/") for topic, _ in list(listener.messages))  # noqa: E731
        while results() < 20:
            time.sleep(0.1)
        ratios = []
        for number in range(options.rounds):
            parts = []
            # Who comes first changes, so that a machine that gets slower favours nobody.
            for watched in ((False, True), (True, False))[number % 2]:
                viewer = Viewer(port) if watched else None
                time.sleep(1)
                count, used, begun = results(), cpu(daemon.pid), time.monotonic()
                time.sleep(options.seconds)
                seconds = time.monotonic() - begun
                parts.append((watched, (results() - count) / seconds, (cpu(daemon.pid) - used) / seconds))
                pictures = f", {viewer.pictures} pictures" if viewer else ""
                if viewer:
                    viewer.close()
                who = "one viewer" if watched else "nobody"
                print(f"{who:10}  {parts[-1][1]:6.2f} results/s  {100 * parts[-1][2]:5.1f} % CPU{pictures}")
            without, with_one = sorted(parts)
            ratios.append((with_one[1] / without[1], with_one[2] / without[2], with_one[2] - without[2]))
        rate, load, more = (statistics.median(column) for column in zip(*ratios, strict=True))
        print(f"\none viewer / nobody, medians of {options.rounds} rounds:")
        print(f"rate {rate:.3f}   CPU of the daemon {load:.3f} ({100 * more:+.1f} % of a core)")
        listener.close()
    finally:
        daemon.kill()
        broker.stop()


if __name__ == "__main__":
    sys.exit(main())
