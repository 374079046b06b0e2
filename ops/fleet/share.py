# SPDX-License-Identifier: MPL-2.0
"""One of the consumers that share the work: it acknowledges results when they are written."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import paho.mqtt.client as paho
import result
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from store import Away, Store, Unfit

log = logging.getLogger("consumer")
_KEEP_ALIVE_S = 30
_LOOP_S = 0.05
_RETRY_S, _RETRY_LONGEST_S = 0.2, 15.0
_TELL_S = 10.0
# After that much silence there is nothing left for one that leaves.
_QUIET_S = 2.0


@dataclass
class Tally:
    """What became of what was heard."""

    written: int = 0
    repeated: int = 0
    refused: int = 0


@dataclass
class Retry:
    """Waits that double."""

    wait_s: float = _RETRY_S
    at: float = 0.0

    def failed(self) -> None:
        """Not before its time again."""
        self.at = time.monotonic() + self.wait_s
        self.wait_s = min(2 * self.wait_s, _RETRY_LONGEST_S)

    def is_due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self.at


@dataclass
class Consumer:
    """One of those that share the work."""

    name: str
    store: Store
    broker: tuple[str, int]
    client: paho.Client
    topic: str
    batch: int
    hold_s: float
    expiry_s: int
    tally: Tally = field(default_factory=Tally)
    _held: list[paho.MQTTMessage] = field(default_factory=list)
    _since: float = 0.0
    _retry: Retry = field(default_factory=Retry)
    _stopping: bool = False
    _connected: bool = False
    _heard_at: float = 0.0

    def stop(self, *_: object) -> None:
        """Ends soon; what is held is written first."""
        self._stopping = True

    def run(self, leave: bool = False) -> None:
        """Until it is stopped; one that leaves takes what the broker keeps for it and ends its session."""
        self.client.on_connect = lambda *args: self._on_connect(args[2], args[3], leave)
        self.client.on_disconnect = lambda *args: self._on_disconnect(args[3])
        self.client.on_message = lambda _client, _data, message: self._on_message(message)
        self.client.on_subscribe = lambda *args: self._on_subscribe(args[3])
        reconnect, told = Retry(), time.monotonic()
        while not self._stopping:
            if self.client.socket() is None and reconnect.is_due():
                self._connect(reconnect)
            if self.client.loop(_LOOP_S) != paho.MQTT_ERR_SUCCESS:
                time.sleep(_LOOP_S)
            if self._connected:
                reconnect = Retry()
            if self._held and (self._is_full() or time.monotonic() - self._since >= self.hold_s):
                self._write()
            if time.monotonic() - told >= _TELL_S:
                told = time.monotonic()
                log.info("%s", self.tally)
            if leave and self._connected and not self._held and time.monotonic() - self._heard_at > _QUIET_S:
                break
        if self._held:
            self._write()
        if self._held:
            log.warning(
                "%d results are not written; the broker keeps them for %s", len(self._held), self.name
            )
        self._disconnect(leave)
        self.store.close()
        log.info("%s", self.tally)

    def _is_full(self) -> bool:
        return len(self._held) >= self.batch

    # The broker.

    def _connect(self, retry: Retry) -> None:
        wanted = Properties(PacketTypes.CONNECT)
        # No more than that comes unacknowledged, whatever waits.
        wanted.ReceiveMaximum, wanted.SessionExpiryInterval = self.batch, self.expiry_s
        try:
            self.client.connect(*self.broker, _KEEP_ALIVE_S, clean_start=False, properties=wanted)
        except OSError as error:
            log.warning("no connection to the broker %s:%d: %s", *self.broker, error)
        retry.failed()

    def _on_connect(self, flags: paho.ConnectFlags, code: paho.ReasonCode, leave: bool) -> None:
        if code.is_failure:
            log.error("the broker refuses %s: %s", self.name, code)
            return
        self._connected, self._heard_at = True, time.monotonic()
        log.info(
            "connected; the broker %s this consumer", "knows" if flags.session_present else "did not know"
        )
        if leave:
            self.client.unsubscribe(self.topic)
        else:
            self.client.subscribe(self.topic, qos=1)

    def _on_subscribe(self, codes: Sequence[paho.ReasonCode]) -> None:
        if any(code.is_failure for code in codes):
            log.error("the broker does not let us subscribe to %s: %s", self.topic, codes[0])

    def _on_disconnect(self, code: paho.ReasonCode) -> None:
        if self._connected:
            log.warning("the connection to the broker is lost: %s", code)
        self._connected = False
        # None of it was acknowledged, and it comes again. To write it now would be to write it twice.
        self._held.clear()

    def _on_message(self, message: paho.MQTTMessage) -> None:
        self._heard_at = time.monotonic()
        if not self._held:
            self._since = self._heard_at
        self._held.append(message)

    def _disconnect(self, leave: bool) -> None:
        if not self._connected:
            return
        last = Properties(PacketTypes.DISCONNECT)
        last.SessionExpiryInterval = 0 if leave else self.expiry_s
        self._connected = False
        self.client.disconnect(properties=last)
        end = time.monotonic() + 2
        while self.client.socket() is not None and time.monotonic() < end:
            self.client.loop(_LOOP_S)

    # The store.

    def _write(self) -> None:
        """Everything held, and acknowledges it; what the store cannot take now stays."""
        if not self._retry.is_due() and not self._stopping:
            return
        good, bad = [], []
        for message in self._held:
            try:
                good.append((message, result.read(message.payload).row()))
            except ValueError as error:
                bad.append((message, str(error)))
        try:
            new = self._insert(good, bad)
            for message, reason in bad:
                log.error("%s is no result: %s", message.topic, reason)
                self.store.refuse(message.topic, message.payload, reason)
        except Away as error:
            log.warning("the database takes nothing: %s; again in %.1f s", error, self._retry.wait_s)
            self._retry.failed()
            return
        self._retry = Retry()
        self.tally.written += new
        self.tally.refused += len(bad)
        self.tally.repeated += len(self._held) - len(bad) - new
        for message in self._held:
            self.client.ack(message.mid, message.qos)
        self._held.clear()

    def _insert(self, good: list, bad: list) -> int:
        if not good:
            return 0
        try:
            return self.store.write([row for _message, row in good])
        except Unfit:
            pass
        # One of them does not fit: which one shows alone.
        new = 0
        for message, row in good:
            try:
                new += self.store.write([row])
            except Unfit as error:
                bad.append((message, str(error)))
        return new
