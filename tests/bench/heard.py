# SPDX-License-Identifier: MPL-2.0
"""Results as a subscriber hears them, each with the moment in which it came."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from running import Program


@dataclass(frozen=True)
class Result:
    """One result."""

    came_s: float
    """By a clock that only goes forward."""
    clock_ns: int
    """The same moment on the system's clock, which timestamps are of."""
    payload: bytes

    def read(self) -> dict[str, Any]:
        """The message."""
        return json.loads(self.payload)


class Heard:
    """Everything that comes on some topic."""

    def __init__(self, port: int, topic: str) -> None:
        self.results: list[Result] = []
        self._news = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic, 1)
        self._client.loop_start()
        if not self._subscribed.wait(10):
            raise RuntimeError("the broker does not answer")

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        with self._news:
            self.results.append(Result(time.perf_counter(), time.time_ns(), message.payload))
            self._news.notify_all()

    def wait_for(self, count: int, program: Program, seconds: float = 120.0) -> None:
        """Waits until so many have come from a program.

        Raises:
            RuntimeError: they do not come in time, or the program ends before they do.
        """
        end = time.monotonic() + seconds
        with self._news:
            while len(self.results) < count:
                alive = program.is_running()
                self._news.wait(0.2)
                if len(self.results) < count and (not alive or time.monotonic() > end):
                    why = f"within {seconds:.0f} s" if alive else "before the end"
                    raise RuntimeError(
                        f"{len(self.results)} of {count} results {why}: {program.output[-2000:]}"
                    )

    def publish(self, topic: str, payload: str) -> None:
        """Says something to those who listen."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def close(self) -> None:
        """Hears nothing more."""
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def hearing(port: int, topic: str) -> Iterator[Heard]:
    """From here on."""
    heard = Heard(port, topic)
    try:
        yield heard
    finally:
        heard.close()
