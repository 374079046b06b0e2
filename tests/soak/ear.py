# SPDX-License-Identifier: MPL-2.0
"""Hears all that is published, keeps accounts of it rather than the messages, and gives commands."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contract
import paho.mqtt.client as paho
from account import Account
from running import wait_for


class Ear:
    """A client with a session of its own, so that the broker keeps for it what comes while it is away."""

    def __init__(self, port: int, file: Path, clock: Callable[[], float]) -> None:
        self.accounts: dict[str, Account] = {}
        self.acks: dict[str, dict[str, Any]] = {}
        self.violations: list[str] = []
        self.newest: dict[str, float] = {}
        """When the last result of each camera came."""
        self.events: dict[str, int] = {}
        self._latencies: dict[str, list[float]] = {}
        self._lock = threading.Lock()
        self.file = file
        self._clock, self._file = clock, file.open("w", buffering=1)
        subscribed = threading.Event()
        version = paho.CallbackAPIVersion.VERSION2
        self._client = paho.Client(version, client_id="soak-ear", clean_session=False)
        self._client.reconnect_delay_set(0.05, 0.5)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not subscribed.wait(10):
            raise AssertionError("the broker does not answer")

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        # An error in here would end paho's thread without a word.
        try:
            self._take(message.topic, message.payload)
        except Exception as error:
            what = f"{type(error).__name__}: {error}: {message.payload[:200]}"
            self.violations.append(f"{message.topic}: {what}")

    def _take(self, topic: str, payload: bytes) -> None:
        if wrong := contract.check(topic, payload):
            self.violations.append(wrong)
        kind, _, rest = topic.removeprefix("care/").partition("/")
        if kind == "control":
            return
        value = contract.read(topic, payload)
        if kind == "inferences":
            camera, _, sort = rest.partition("/")
            with self._lock:
                account = self.accounts.setdefault(camera, Account())
                if sort == "gap":
                    account.gap(value)
                elif account.result(value):
                    # One that has waited for the broker says nothing about the way to it.
                    if not value.get("replayed"):
                        self._latencies.setdefault(camera, []).append(value["latency_ms"])
                    self.newest[camera] = time.monotonic()
            if sort != "gap":
                return
        if kind == "state":
            return
        if kind == "health" and "command_ack" in value:
            self.acks[str(value.get("id"))] = value
            value = {key: value[key] for key in ("command_ack", "status", "id", "error") if key in value}
        elif kind == "health":
            self.events[value["event"]] = self.events.get(value["event"], 0) + 1
        line = {"s": round(self._clock(), 3), "topic": topic, "said": value}
        with contextlib.suppress(ValueError):  # closed: the last words of the daemon after the end
            self._file.write(json.dumps(line, default=str) + "\n")

    def latencies(self) -> dict[str, list[float]]:
        """Since the last call, by camera, ms."""
        with self._lock:
            taken, self._latencies = self._latencies, {}
        return taken

    def lost(self) -> dict[str, dict[str, int]]:
        """Told so far, by camera and cause."""
        with self._lock:
            return {camera: dict(account.told) for camera, account in self.accounts.items()}

    def heard(self) -> int:
        return sum(len(account.results) for account in list(self.accounts.values()))

    def command(
        self, camera: str, command: str, params: object, id: str, seconds: float = 60.0
    ) -> dict[str, Any]:
        """Gives a command and waits for its answer; said again with the same id while nobody answers."""
        request = {"command": command, "id": id} | ({} if params is None else {"params": params})
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._client.publish(f"care/control/{camera}", json.dumps(request), qos=1)
            with contextlib.suppress(AssertionError):
                wait_for("an answer", lambda: id in self.acks, min(15.0, max(end - time.monotonic(), 0.1)))
                return self.acks[id]
        raise AssertionError(f"{command} to {camera}: no answer within {seconds:.0f} s")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._file.close()
