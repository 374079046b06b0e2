# SPDX-License-Identifier: MPL-2.0
"""The real parts of a stage: programs and what they say, with the times of it."""

import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mqtt import Broker, Listener
from proxy import Proxy
from running import BUILT, Program, wait_for


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
