# SPDX-License-Identifier: MPL-2.0
"""A consumer that hears all results, in a process of its own: how late, which are missing, which twice."""

import contextlib
import json
import time
from array import array
from collections import defaultdict
from multiprocessing.connection import Connection
from typing import Any

import paho.mqtt.client as paho

from . import messages
from .child import Child
from .figures import Tally, quantile
from .instance import PREFIX
from .link import KEEP_ALIVE_S

_AGAIN_S = 0.1


class Watcher(Child):
    """The process, from outside."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__("the consumer", _main, address)

    def ask(self, what: str, data: object = None) -> Any:
        """`is_up`, to `begin` a measurement, to `end` it, `heard`, or what is `lost` of so many from each.

        Raises:
            RuntimeError: The process has ended, or does not answer.
        """
        return self._asked((what, data))


class _Ear:
    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._tallies: dict[str, Tally] = defaultdict(Tally)
        self._latencies = array("d")
        self._begun = time.monotonic()
        self._messages = self._bytes = self._results = 0
        self._measures = False
        self.is_up = False
        # The broker remembers it while it is away, and keeps what comes meanwhile.
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "sim-watcher", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(f"{PREFIX}/{kind}/#", 1) for kind in ("inferences", "status", "state", "presence", "health")]
        )
        self._client.on_subscribe = lambda *_: setattr(self, "is_up", True)
        self._client.on_message = self._on_message

    def live(self, pipe: Connection) -> None:
        """Until the other end of the pipe is closed."""
        connect = self._client.connect
        while True:
            try:
                connect(*self._address, KEEP_ALIVE_S)
                while self._client.loop(0.02) == paho.MQTT_ERR_SUCCESS:
                    self._answer(pipe)
            except OSError:
                pass
            self.is_up = False
            self._answer(pipe)
            time.sleep(_AGAIN_S)

    def _answer(self, pipe: Connection) -> None:
        while pipe.poll():
            pipe.send(self._say(*pipe.recv()))

    def _say(self, what: str, data: Any) -> Any:
        match what:
            case "is_up":
                return self.is_up
            case "begin":
                self._latencies, self._begun = array("d"), time.monotonic()
                self._messages, self._bytes, self._measures = 0, 0, True
            case "end":
                self._measures = False
                took = time.monotonic() - self._begun
                latency = tuple(quantile(self._latencies, part) for part in (0.5, 0.99))
                return {
                    "messages_hz": self._messages / took,
                    "bytes_hz": self._bytes / took,
                    "latency_s": latency,
                }
            case "heard":
                return self._results
            case "lost":
                lost = sum(self._tallies[name].lost(made) for name, made in data.items())
                return lost, sum(tally.repeated for tally in self._tallies.values())
        return None

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        now = time.time()
        if self._measures:
            self._messages += 1
            self._bytes += len(message.topic) + len(message.payload)
        kind, instance = message.topic.split("/")[1:3]
        if kind != "inferences":
            return
        result = json.loads(message.payload)
        self._results += 1
        self._tallies[instance].add(result["frame_seq"])
        if self._measures and not result.get("replayed"):
            self._latencies.append(now - messages.published_at(result))


def _main(pipe: Connection, address: tuple[str, int]) -> None:
    # Somebody who wants nothing any more closes the pipe.
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        _Ear(address).live(pipe)
