# SPDX-License-Identifier: MPL-2.0
"""Somebody who commands all instances at once, and hears when it is in force."""

import json
import threading
import time
from typing import Any

import paho.mqtt.client as paho

from .instance import PREFIX
from .link import KEEP_ALIVE_S

_CONNECT_S = 10.0


class Commander:
    """A connection of its own, in a thread of its own."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._news = threading.Condition()
        self._answers: dict[str, dict[str, float]] = {}
        self._count = 0
        subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "sim-commander")
        self._client.on_connect = lambda client, *_: client.subscribe(f"{PREFIX}/health/+", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect(*address, KEEP_ALIVE_S)
        self._client.loop_start()
        if not subscribed.wait(_CONNECT_S):
            self.close()
            raise RuntimeError(f"the broker has not answered within {_CONNECT_S:g} s")

    def tell_all(self, command: str, params: dict[str, Any], expected: int, limit_s: float) -> list[float]:
        """Waits until so many have answered that it is in force, or for so long; seconds to each answer."""
        self._count += 1
        name = f"fleet-{self._count}"
        request = {"command": command, "params": params, "id": name}
        with self._news:
            answers = self._answers.setdefault(name, {})
        begun = time.monotonic()
        self._client.publish(f"{PREFIX}/control/all", json.dumps(request), qos=1)
        with self._news:
            self._news.wait_for(lambda: len(answers) >= expected, limit_s)
            return [at - begun for at in answers.values()]

    def close(self) -> None:
        """Takes leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        at = time.monotonic()
        ack = json.loads(message.payload)
        with self._news:
            answers = self._answers.get(str(ack.get("id")))
            if answers is not None and ack.get("status") == "success":
                answers.setdefault(message.topic, at)
                self._news.notify_all()
