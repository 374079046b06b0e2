# SPDX-License-Identifier: MPL-2.0
"""A daemon of one camera as its broker sees it: two connections, results at a rate, answers to commands."""

import asyncio
import json
import random
import time
from concurrent.futures import Executor
from dataclasses import dataclass

from . import messages, moment
from .commands import CAMERA_HZ, Desk
from .link import Link, Post

PREFIX = "care"
MOST_WAITING = 1000
"""Results that wait for the broker at most, as `mqtt.max_buffered_messages` has it; then the oldest go."""
# Waits before the first new attempt of the daemon's two connections.
_SINK_FIRST_S, _CONTROL_FIRST_S = 0.1, 0.2
_PRESENCE_S = 30.0
# Seconds for which a number of persons stays, in the mean.
_VISIT_S = 20.0
_COUNTS = (0, 0, 1, 1, 2)


@dataclass
class Counts:
    """What instances did."""

    made: int = 0
    acknowledged: int = 0
    given_up: int = 0
    bytes: int = 0
    """Of topics and payloads of results, the first time that they were made."""


class Instance:
    """Runs from `start` to `stop` in an asyncio loop."""

    def __init__(
        self, name: str, address: tuple[str, int], rate_hz: float, counts: Counts, pool: Executor
    ) -> None:
        self.name, self.counts = name, counts
        self.seq = 0
        self.ready_at: float | None = None
        """`time.monotonic()` when the broker had status, state and subscriptions; none = it has not now."""
        self._desk = Desk(name, rate_hz)
        self._chance = random.Random(name)
        self._persons: int | None = None
        self._since = moment.now()
        self._waits_for: set[str] = {"sink", "control"}
        self._producing = True
        self._told: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._presence_timer: asyncio.TimerHandle | None = None
        self._phase = self._chance.random() / CAMERA_HZ
        self._sink = Link(
            address,
            f"sim-{name}-sink",
            pool,
            _SINK_FIRST_S,
            will=(self._topic("status"), b"offline"),
            up=self._sink_up,
            down=lambda: self._down("sink"),
        )
        self._control = Link(
            address,
            f"sim-{name}-control",
            pool,
            _CONTROL_FIRST_S,
            topics=(self._topic("control"), f"{PREFIX}/control/all"),
            heard=self._heard,
            up=self._control_up,
            down=lambda: self._down("control"),
        )
        self._tasks: list[asyncio.Task] = []

    def start(self) -> None:
        """Connects, and begins to look."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(link.run()) for link in (self._sink, self._control)]
        self._timer = loop.call_later(self._chance.random() / self._desk.rate_hz, self._look)
        self._presence_timer = loop.call_later(_PRESENCE_S * self._chance.random(), self._say_presence_again)

    def tick(self) -> None:
        """Every second or two."""
        self._sink.tick()
        self._control.tick()

    def rest(self) -> None:
        """No more results; what waits is still sent."""
        self._producing = False

    def is_idle(self) -> bool:
        """Whether the broker has everything."""
        return self._sink.is_idle() and self._control.is_idle()

    def goodbye(self) -> None:
        """Says that it ends, as it should; `leave` follows when it is idle."""
        self.rest()
        for timer in (self._timer, self._presence_timer):
            if timer:
                timer.cancel()
        event = {"event": "stopping", "reason": "the simulation ends", "timestamp": moment.now()}
        self._control.post(Post(self._topic("health"), messages.encode(event)))
        last = messages.presence(self.name, None, moment.now(), "stopped")
        self._control.post(Post(self._topic("presence"), messages.encode(last), retain=True))
        self._sink.post(Post(self._topic("status"), b"stopped", retain=True))

    async def leave(self) -> None:
        """Ends both connections."""
        for link in (self._sink, self._control):
            link.stop()
        _done, late = await asyncio.wait(self._tasks, timeout=2)
        for task in late:
            task.cancel()

    def _topic(self, kind: str) -> str:
        return f"{PREFIX}/{kind}/{self.name}"

    # The connections.

    def _sink_up(self) -> None:
        waiting = [post for post in self._sink.outbox if post.topic != self._topic("status")]
        self._sink.outbox.clear()
        self._sink.outbox.extend(map(_replayed, waiting))
        online = Post(self._topic("status"), b"online", True, lambda: self._ready("sink"))
        self._sink.put_first([online])

    def _control_up(self) -> None:
        kept = [post for post in self._control.outbox if not post.retain]
        self._control.outbox.clear()
        self._control.outbox.extend([self._state(lambda: self._ready("control")), self._presence(), *kept])

    def _ready(self, link: str) -> None:
        self._waits_for.discard(link)
        if not self._waits_for:
            self.ready_at = time.monotonic()

    def _down(self, link: str) -> None:
        self._waits_for.add(link)
        self.ready_at = None

    # What it says.

    def _state(self, arrived: object = None) -> Post:
        return Post(self._topic("state"), messages.encode(self._desk.state()), True, arrived)

    def _presence(self) -> Post:
        told = messages.presence(self.name, self._persons, self._since)
        return Post(self._topic("presence"), messages.encode(told), True)

    def _say_presence_again(self) -> None:
        self._control.post(self._presence())
        self._presence_timer = asyncio.get_running_loop().call_later(_PRESENCE_S, self._say_presence_again)

    def _look(self) -> None:
        """A frame has been looked at."""
        loop = asyncio.get_running_loop()
        period = 1 / min(self._desk.rate_hz, CAMERA_HZ)
        # From when it should have been, so that the rate is kept; what was missed is not made up for.
        due = self._timer.when() if self._timer else loop.time()
        self._timer = loop.call_at(max(due + period, loop.time()), self._look)
        if not self._producing or self._desk.paused:
            return
        if self._persons is None or self._chance.random() < period / _VISIT_S:
            persons = self._chance.choice(_COUNTS)
            if persons != self._persons:
                self._persons, self._since = persons, moment.now()
                self._control.post(self._presence())
        result = messages.result(self.name, self.seq, self._persons, self._chance)
        topic = f"{PREFIX}/inferences/{self.name}/{messages.TYPE}"
        payload = messages.encode(result)
        self.seq += 1
        self.counts.made += 1
        self.counts.bytes += len(topic) + len(payload)
        if len(self._sink.outbox) >= MOST_WAITING:
            self._sink.outbox.popleft()
            self.counts.given_up += 1
        self._sink.post(Post(topic, payload, arrived=self._acknowledged))

    def _acknowledged(self) -> None:
        self.counts.acknowledged += 1

    # What it is told.

    def _heard(self, _topic: str, payload: bytes) -> None:
        """In force from the next frame of its camera on, and answered then."""
        self._told.append(payload)
        if len(self._told) == 1:
            loop = asyncio.get_running_loop()
            frames = (loop.time() - self._phase) * CAMERA_HZ
            loop.call_at(self._phase + (int(frames) + 1) / CAMERA_HZ, self._answer_all)

    def _answer_all(self) -> None:
        told, self._told = self._told, []
        for payload in told:
            self._answer(payload)

    def _answer(self, payload: bytes) -> None:
        revision, rate = self._desk.revision, self._desk.rate_hz
        ack = self._desk.hear(payload, self.seq)
        if self._desk.revision != revision:
            self._control.post(self._state())
        self._control.post(Post(self._topic("health"), messages.encode(ack)))
        if self._desk.rate_hz != rate and self._timer:
            self._timer.cancel()
            wait = self._chance.random() / self._desk.rate_hz
            self._timer = asyncio.get_running_loop().call_later(wait, self._look)
        if self._desk.stopping and self._producing:
            self.goodbye()
            self._tasks.append(asyncio.get_running_loop().create_task(self._end()))

    async def _end(self) -> None:
        while not self.is_idle():
            await asyncio.sleep(0.05)
        self._sink.stop()
        self._control.stop()


def _replayed(post: Post) -> Post:
    """A result says so when it had to wait for the connection."""
    if b'"replayed":true' not in post.payload:
        result = {**json.loads(post.payload), "replayed": True}
        post.payload = messages.encode(result)
    return post
