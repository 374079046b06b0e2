# SPDX-License-Identifier: MPL-2.0
"""One stage for one fault: real camera, broker and daemon, proxies between them, and an ear."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from daemon import Daemon, merged
from parts import Camera, Ear, Heard, Mosquitto, Poll
from proxy import Proxy
from running import Program, zombies

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


# It tells of each answer that came too late for a command.
logging.getLogger("paho").setLevel(logging.CRITICAL)

HANG, GO = signal.SIGSTOP, signal.SIGCONT
