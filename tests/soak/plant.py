# SPDX-License-Identifier: MPL-2.0
"""What is soaked: cameras and a broker behind proxies, and the daemon with its workers; all of it real."""

import contextlib
import json
import os
import re
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import ledger
import proc
from daemon import merged
from ear import Ear
from mqtt import Broker
from proxy import Proxy
from running import BUILT, Program, children, wait_for
from stage import Camera, Heard

ROOT = Path(__file__).resolve().parents[2]

HELD = 20
"""Messages that the daemon keeps while the broker is away: few, so that some are given up now and then."""

CONFIG: dict[str, Any] = {
    "instance_id": "soak",
    "room_id": "ward",
    "camera": {"stall_timeout_s": 2},
    "stream": {"warmup_duration_s": 0, "resolution": "320p"},
    "mqtt": {"keep_alive_s": 5, "max_reconnect_interval_s": 2, "max_buffered_messages": HELD},
    "http": {"bind": "127.0.0.1:0"},
    "watchdog": {"interval_s": 1, "min_timeout_s": 5},
    "log": {"stats_interval_s": 60},
    "shutdown_timeout_s": 5,
}


class Film(Camera):
    """A camera that shows a clip, which has a size and a rate of its own."""

    def __init__(self, folder: Path, clip: Path) -> None:
        super().__init__(folder)
        self._clip = clip

    def start(self, *_: object) -> None:
        self._program = Heard([BUILT / "orion-camera", "--clip", self._clip])
        port = int(self._program.wait_for_line(r"^rtsp://[\d.]+:(\d+)/camera$")[1])
        if self.proxy is None:
            self.proxy = Proxy(port)
        self.proxy.target = port


class Keeper(Broker):
    """mosquitto that remembers over an orderly restart what it has taken, as a broker in earnest does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        kept = folder / "broker"
        kept.mkdir()
        more = f"persistence true\npersistence_location {kept}/\nmax_queued_messages 0\n"
        if os.geteuid() == 0:
            more += "user root\n"
        self._config.write_text(self._config.read_text().replace("persistence false\n", more))

    @property
    def pid(self) -> int | None:
        return self._program.pid if self._program else None

    def signal(self, number: int) -> None:
        self._program.signal(number)

    def end(self) -> None:
        """In order: it writes down what it holds."""
        self._program.signal(signal.SIGTERM)
        self._program.wait(10)
        self.stop()


def models(folder: Path, data: Path) -> dict[str, Any]:
    """Keys of the detector: one model as two sizes, so that swaps change nothing else; without it, motion."""
    files = {side: data / "models" / f"yoloxn_fp32_{side}.onnx" for side in (640, 320)}
    if not all(file.is_file() for file in files.values()):
        return {"detector": "motion"}
    there = folder / "models"
    there.mkdir()
    for size in "ns":
        for side, file in files.items():
            (there / f"yolox{size}_fp32_{side}.onnx").symlink_to(file.resolve())
    return {"model_dir": str(there), "size": "n"}


class Plant:
    """Started by the constructor; `close` ends all of it, whatever has happened."""

    def __init__(self, folder: Path, out: Path, data: Path, cameras: int, fps: int, rate: float) -> None:
        self.began = time.monotonic()
        self.over = threading.Event()
        """The run is to end: nobody waits for anything longer."""
        self.detector = models(folder, data)
        self.names = [f"camera-{number}" for number in range(cameras)]
        self._undo = contextlib.ExitStack()
        try:
            self.broker = Keeper(folder)
            self._undo.callback(self.broker.stop)
            self.broker.start()
            self.proxy = Proxy(self.broker.port)
            self._undo.callback(self.proxy.close)
            self.ear = Ear(self.broker.port, out / "events.jsonl", self.clock)
            self._undo.callback(self.ear.close)
            self.cameras = []
            clip = data / "clips" / "one-by-one-person-detection.mp4"
            for number in range(cameras):
                # The last one shows people, if there is a clip of them.
                film = number == cameras - 1 and clip.is_file()
                self.cameras.append(Film(folder, clip) if film else Camera(folder))
                self._undo.callback(self.cameras[-1].close)
                self.cameras[-1].start("--fps", fps)
            detector = {**self.detector, "max_inference_rate_hz": rate}
            own = {
                "mqtt": {"uri": f"mqtt://127.0.0.1:{self.proxy.port}"},
                "models": {"person_detector": detector},
                "cameras": [
                    {"instance_id": name, "camera": {"rtsp_url": camera.url}}
                    for name, camera in zip(self.names, self.cameras, strict=True)
                ],
            }
            self.config = merged(CONFIG, own)
            self.file = folder / "orion.yaml"
            self.write(self.config)
            self.daemon = Program([BUILT / "orion-launch", "--config", self.file, "--log-format", "text"])
            self._undo.callback(self.daemon.kill)
            self.address = self.daemon.wait_for_line(r"state: (http://[^/ ]+)/")[1]
            self.wait_well("results of all cameras at the start", 60)
        except BaseException:
            self.close()
            raise

    def clock(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def hold(self, seconds: float) -> None:
        """Waits, unless the run is to end."""
        self.over.wait(seconds)

    def write(self, config: dict[str, Any]) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(config, indent=2))
        new.rename(self.file)

    def state(self) -> dict[str, Any]:
        """What `/readyz` says now.

        Raises:
            OSError: It does not answer.
        """
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=5) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def worker(self, name: str) -> int:
        """The process that looks at the frames of a camera; waits until there is one."""

        def ready() -> int | None:
            with contextlib.suppress(OSError):
                camera = next(one for one in self.state()["cameras"] if one["instance_id"] == name)
                (process,) = camera["workers"][0]["processes"]
                return process["pid"] if process["state"] == "ready" else None
            return None

        return wait_for(f"a worker of {name}", ready, 60)

    def processes(self, state: dict[str, Any] | None) -> dict[int, tuple[str, str]]:
        """All that is to be measured: what it is, and which camera's."""
        found = {pid: ("other", "") for pid, _, _ in children(self.daemon.pid)}
        for camera in state["cameras"] if state else []:
            for process in (process for worker in camera["workers"] for process in worker["processes"]):
                if process["pid"] in found:
                    found[process["pid"]] = ("worker", camera["instance_id"])
        found[self.daemon.pid] = ("daemon", "")
        if self.broker.pid:
            found[self.broker.pid] = ("broker", "")
        return found

    def wait_well(self, what: str, seconds: float) -> float:
        """All healthy, and a new result of each camera; how long it took."""
        start, why = time.monotonic(), "no answer"

        def well() -> bool:
            nonlocal why
            assert self.daemon.is_running(), "the daemon has ended"
            with contextlib.suppress(OSError):
                state = self.state()
                late = [name for name in self.names if self.ear.newest.get(name, 0) <= start]
                why = f"{state['status']} {state['reasons']}, no new result of {late or 'none'}"
                return state["status"] == "healthy" and not late
            return False

        try:
            wait_for(what, well, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {why}") from None
        return time.monotonic() - start

    def stop(self) -> dict[str, Any]:
        """Ends the daemon in order; its books by camera, its status, and what it has left."""
        below = [pid for pid, _, _ in children(self.daemon.pid)]
        self.daemon.signal(signal.SIGTERM)
        status = self.daemon.wait(15)
        time.sleep(1)  # The last results are on their way from the broker to the ear.
        books: dict[str, list[str]] = {name: [] for name in self.names}
        for line in list(self.daemon.lines):
            if (found := re.search(r"(\S+) \w+: received \d+ =", line)) and found[1] in books:
                books[found[1]].append(line)
        return {
            "status": status,
            "left": proc.left(self.daemon.pid, below),
            "books": {name: ledger.read(lines) for name, lines in books.items()},
        }

    def close(self) -> None:
        self.over.set()
        self._undo.close()


def missing() -> str:
    """What is not there to run it; empty = nothing."""
    for name in ("orion-launch", "orion-camera"):
        if not (BUILT / name).is_file():
            return f"{BUILT / name} is missing: make build"
    if not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()):
        return "mosquitto is missing: make setup"
    return ""
