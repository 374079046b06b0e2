# SPDX-License-Identifier: MPL-2.0
"""One stage for one fault: real camera, real broker, real daemon, a proxy before each of the first two, and an ear."""

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from daemon import Daemon, merged
from mqtt import Broker, Listener
from proxy import Proxy
from running import BUILT, Program, wait_for, zombies

HERE = Path(__file__).resolve().parent

EVIDENCE_S, FROZEN_S, BLACK_S = 3.0, 3.0, 1.0

# Short times, so that a scenario takes seconds; what is measured is told together with them.
CONFIG: dict[str, Any] = {
    "instance_id": "node_001",
    "camera": {"stall_timeout_s": 1},
    "stream": {"warmup_duration_s": 0, "resolution": "320p", "fps": 15},
    "models": {"person_detector": {"detector": "motion", "max_inference_rate_hz": 8}},
    "presence": {
        "evidence_timeout_s": EVIDENCE_S,
        "absent_after_s": 1,
        "frozen_after_s": FROZEN_S,
        "black_after_s": BLACK_S,
    },
    "mqtt": {"keep_alive_s": 2, "max_reconnect_interval_s": 1},
    "http": {"bind": "127.0.0.1:0"},
    "watchdog": {"interval_s": 0.1, "min_timeout_s": 1},
    "log": {"stats_interval_s": 0},
    "shutdown_timeout_s": 5,
}


class Heard(Program):
    """A program of whose lines it is known when they came; its reader can be made to stop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.times: list[float] = []
        self.reads = threading.Event()
        self.reads.set()
        super().__init__(*args, **kwargs)

    def _read(self) -> None:
        for line in self._process.stdout:
            self.reads.wait(60)
            with self._news:
                self.times.append(time.monotonic())
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def write(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self.reads.set()
        super().kill()


class Mosquitto(Broker):
    """A broker whose rules change."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._rules = self._config.read_text()

    def configure(self, access: str) -> None:
        """Who may come in from its next start on."""
        self._config.write_text(self._rules.replace("allow_anonymous true\n", access))

    def signal(self, number: int) -> None:
        self._program.signal(number)


class Ear(Listener):
    """A listener that knows when each message came, and comes back by itself."""

    def __init__(self, port: int) -> None:
        self.times: list[float] = []
        self._subscribed = 0
        super().__init__(port)
        self._client.reconnect_delay_set(0.05, 0.2)
        self._client.on_subscribe = self._on_subscribe

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed += 1

    def _on_message(self, client: Any, userdata: object, message: Any) -> None:
        self.times.append(time.monotonic())
        super()._on_message(client, userdata, message)

    def back(self, before: int) -> None:
        """Waits until it is there again."""
        wait_for("the listener's return", lambda: self._subscribed > before, 10)

    @property
    def subscribed(self) -> int:
        return self._subscribed


class Camera:
    """An RTSP camera behind a proxy, whose address stays as it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program: Heard | None = None
        self.env: dict[str, str] = {}
        self.proxy: Proxy | None = None
        self.arguments: tuple[object, ...] = ()

    def start(self, *arguments: object) -> None:
        """Starts it, or another one at its place."""
        self.arguments = arguments or self.arguments
        words = [BUILT / "orion-camera", *map(str, self.arguments)]
        for name, value in (("--fps", 15), ("--width", 320), ("--height", 240)):
            words += [] if name in words else [name, value]
        self._program = Heard(words, self.env)
        port = int(self._program.wait_for_line(r"^rtsp://[\d.]+:(\d+)/camera$")[1])
        if self.proxy is None:
            self.proxy = Proxy(port)
        self.proxy.target = port

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.proxy.port}/camera"

    def die(self) -> None:
        self._program.kill()

    def signal(self, number: int) -> None:
        self._program.signal(number)

    def order(self, line: str) -> None:
        """What it shows from now on."""
        self._program.write(line)

    def close(self) -> None:
        if self._program:
            self._program.kill()
        if self.proxy:
            self.proxy.close()


class Poll(threading.Thread):
    """What `/readyz` says, again and again, with the time of each look."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.looks: list[tuple[float, dict[str, Any]]] = []
        self._address, self._over = address, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.1):
            try:
                self.looks.append((time.monotonic(), self.now()))
            except OSError as error:
                self.looks.append((time.monotonic(), {"status": "silent", "reasons": [str(error)]}))

    def now(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://{self._address}/readyz", timeout=3) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def end(self) -> None:
        self._over.set()
        self.join(10)


class Stage:
    """All of it, started; `close` ends it and leaves nothing."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        camera: tuple[object, ...] = (),
        prefix: tuple[object, ...] = (),
        env: Mapping[str, str] | None = None,
        camera_env: Mapping[str, str] | None = None,
        bad_worker: bool = False,
    ) -> None:
        self.folder = folder
        self.orders = folder / "orders"
        self._prefix, self._env = [str(word) for word in prefix], dict(env or {})
        self._started: list[Program] = []
        self._undo = contextlib.ExitStack()
        self.broker = Mosquitto(folder)
        self.listener: Ear | None = None
        self.daemon: Daemon | None = None
        self.poll: Poll | None = None
        self.camera = Camera(folder)
        self.camera.env = dict(camera_env or {})
        self.proxy: Proxy | None = None
        self.notes: dict[str, Any] = {}
        """What a scenario wants to remember."""
        try:
            self.broker.start()
            self.proxy = Proxy(self.broker.port)
            self.listener = Ear(self.broker.port)
            self.camera.start(*camera)
            own = {"mqtt": {"uri": f"mqtt://127.0.0.1:{self.proxy.port}"}}
            own["camera"] = {"rtsp_url": self.camera.url}
            if bad_worker:
                command = f"{sys.executable} {HERE / 'bad_worker.py'} {self.orders}"
                own["models"] = {"person_detector": {"worker_command": command}}
            self.config = merged(merged(CONFIG, own), config)
            self.start_daemon()
        except BaseException:
            self.close()
            raise

    def _run(self, *argv: object) -> Program:
        program = Heard([*self._prefix, *map(str, argv)], self._env)
        self._started.append(program)
        return program

    def start_daemon(self) -> None:
        """Starts it, for the first time or again."""
        self.began = len(self.listener.messages)
        self.daemon = Daemon(self._run, self.broker, self.listener, self.folder, self.config)
        if self.poll:
            self.poll.end()
        address = self.daemon.program.wait_for_line(r"state: http://([^/ ]+)/")[1]
        self.poll = Poll(address)

    # What happens to it.

    def order(self, what: str) -> None:
        """What the bad worker does from now on."""
        new = self.orders.with_suffix(".new")
        new.write_text(what)
        new.rename(self.orders)

    def workers(self) -> list[int]:
        """The processes that look at frames, as the daemon names them."""
        state = self.poll.now()
        return [process["pid"] for worker in state["workers"] for process in worker["processes"]]

    def strike_workers(self, number: int) -> None:
        for pid in self.workers():
            os.kill(pid, number)

    def broker_dies(self) -> None:
        self.proxy.refuse()
        self.broker.stop()

    def broker_returns(self, heard: bool = True) -> None:
        """It has forgotten everything; the ear is there before the daemon, so that nothing is missed."""
        before = self.listener.subscribed
        self.broker.start()
        if heard:
            self.listener.back(before)
        self.proxy.accept()


    def at_end(self, undo: Callable[[], object]) -> None:
        """What is to be undone when the scenario is over."""
        self._undo.callback(undo)

    # What was said.

    def said(self, after: float, kind: str) -> Iterator[tuple[float, Any]]:
        """What was heard on a topic of the daemon since then, with its time."""
        topic = self.daemon.topic(kind)
        messages = self.listener.messages
        for at, (heard, message) in zip(self.listener.times, list(messages), strict=False):
            if at >= after and heard == topic:
                yield at, message

    def results(self, after: float) -> Iterator[tuple[float, dict[str, Any]]]:
        start = f"care/inferences/{self.daemon.id}/"
        for at, (heard, message) in zip(self.listener.times, list(self.listener.messages), strict=False):
            if at >= after and heard.startswith(start) and "frame_seq" in message:
                yield at, message

    def gaps(self, after: float) -> Iterator[tuple[float, dict[str, Any]]]:
        """Records of results that were given up."""
        for at, (heard, message) in zip(self.listener.times, list(self.listener.messages), strict=False):
            if at >= after and heard == f"care/inferences/{self.daemon.id}/gap":
                yield at, message

    def lines(self, after: float) -> Iterator[tuple[float, str]]:
        """Lines of the daemon's log."""
        program = self.daemon.program
        for at, line in zip(program.times, list(program.lines), strict=False):
            if at >= after:
                yield at, line

    def zombies(self) -> list[tuple[int, str, str]]:
        return zombies(self.daemon.program.pid)

    def close(self) -> None:
        """Whatever has happened, nothing stays."""
        if self.poll:
            self.poll.end()
        for program in self._started:
            with contextlib.suppress(Exception):
                program.kill()
        self.camera.close()
        if self.listener:
            with contextlib.suppress(AssertionError):
                self.listener.close()
        self.broker.stop()
        if self.proxy:
            self.proxy.close()
        self._undo.close()


def has(program: str) -> bool:
    return shutil.which(program) is not None


# It tells of each answer that came too late for a command.
logging.getLogger("paho").setLevel(logging.CRITICAL)

HANG, GO = signal.SIGSTOP, signal.SIGCONT
