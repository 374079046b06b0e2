# SPDX-License-Identifier: MPL-2.0
"""A real broker, and a client that remembers what it heard."""

import contextlib
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import contract
import paho.mqtt.client as paho
from running import Program, wait_for


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Broker:
    """mosquitto on a loopback port; it can be stopped and started again."""

    def __init__(self, folder: Path, access: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\n{access}persistence false\n")
        self._program: Program | None = None

    @property
    def uri(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._program = Program([binary, "-c", str(self._config)])

        def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("mosquitto listens", listening)

    def stop(self) -> None:
        if self._program:
            self._program.kill()
            self._program = None


class Listener:
    """Subscribes to everything, keeps it in order, and holds it against the contract."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, Any]] = []
        self._violations: list[str] = []
        self._news = threading.Condition()
        subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(10), "the broker does not answer"

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        wrong = contract.check(message.topic, message.payload)
        value = contract.read(message.topic, message.payload)
        with self._news:
            if wrong:
                self._violations.append(wrong)
            self.messages.append((message.topic, value))
            self._news.notify_all()

    def wait_for(self, count: int, seconds: float = 60.0, after: int = 0) -> list[tuple[str, Any]]:
        """At least so many messages after the first `after` ones."""
        with self._news:
            enough = self._news.wait_for(lambda: len(self.messages) >= after + count, seconds)
            got = len(self.messages) - after
        assert enough, f"{got} messages within {seconds} s, {count} were expected"
        return self.messages[after:]

    def close(self) -> None:
        """Ends it; fails when anything that was heard is not as the contract says."""
        self._client.disconnect()
        self._client.loop_stop()
        some = "\n\n".join(self._violations[:5])
        assert not self._violations, f"{len(self._violations)} messages; the first ones:\n{some}"


def kept(topic: str, port: int) -> bytes | None:
    """What the broker keeps of a topic now."""
    got: list[bytes] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
    client.on_message = lambda _client, _userdata, message: message.retain and got.append(message.payload)
    with contextlib.suppress(OSError):
        client.connect("127.0.0.1", port)
        client.loop_start()
        with contextlib.suppress(AssertionError):
            wait_for("a retained message", lambda: got, 0.5)
        client.disconnect()
        client.loop_stop()
    return got[0] if got else None
