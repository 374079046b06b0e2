# SPDX-License-Identifier: MPL-2.0
"""One connection to the broker in an asyncio loop, made again for ever, with the waits of the daemon."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

import paho.mqtt.client as paho

KEEP_ALIVE_S = 10
"""As the daemon's default, `mqtt.keep_alive_s`."""
WINDOW = 16
"""Messages on the wire at most, as the daemon has it."""
_LONGEST_S = 30.0
# Part of a wait that chance takes away at most.
_JITTER = 0.25
_CONNECT_S = 10.0


@dataclass
class Post:
    """A message that waits, or is on its way."""

    topic: str
    payload: bytes
    retain: bool = False
    arrived: Callable[[], None] | None = None
    """Called when the broker has it."""


@dataclass
class Link:
    """Sends what is posted, in order, at QoS 1; what is not acknowledged goes again when it is back."""

    address: tuple[str, int]
    client_id: str
    pool: Executor
    first_s: float
    """The wait before the first new attempt; it doubles."""
    will: tuple[str, bytes] | None = None
    topics: tuple[str, ...] = ()
    heard: Callable[[str, bytes], None] = lambda topic, payload: None
    up: Callable[[], None] = lambda: None
    """Called on each connection, when all subscriptions are there, before anything is sent."""
    down: Callable[[], None] = lambda: None
    outbox: deque[Post] = field(default_factory=deque)
    flying: dict[int, Post] = field(default_factory=dict)
    is_up: bool = False
    connections: int = 0
    _client: paho.Client | None = None
    _closed: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False

    async def run(self) -> None:
        """Until it is stopped."""
        loop, wait = asyncio.get_running_loop(), self.first_s
        while not self._stopping:
            self._closed.clear()
            client = self._client = self._new(loop)
            try:
                await loop.run_in_executor(self.pool, client.connect, *self.address, KEEP_ALIVE_S)
                await self._closed.wait()
            except OSError:
                # Nobody listens, or the queue of those who want to be let in is full.
                pass
            finally:
                self._lost()
            if self._stopping:
                return
            if self.connections:
                wait, self.connections = self.first_s, 0
            await asyncio.sleep(wait * (1 - _JITTER * random.random()))
            wait = min(2 * wait, _LONGEST_S)

    def post(self, post: Post) -> None:
        """Sends it as soon as that can be."""
        self.outbox.append(post)
        self._send()

    def put_first(self, posts: list[Post]) -> None:
        """Before all that waits; sent with the next message."""
        self.outbox.extendleft(reversed(posts))

    def is_idle(self) -> bool:
        """Whether the broker has everything."""
        return not self.outbox and not self.flying

    def tick(self) -> None:
        """To be called every second or two: keeps the connection alive, and notices that it is dead."""
        if self._client is not None and self.is_up:
            self._client.loop_misc()

    def stop(self) -> None:
        """Takes leave; what is not acknowledged by now is lost."""
        self._stopping = True
        if self._client is not None and self.is_up:
            self._client.disconnect()
        else:
            self._closed.set()

    def _new(self, loop: asyncio.AbstractEventLoop) -> paho.Client:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, self.client_id)
        client.connect_timeout = _CONNECT_S
        if self.will:
            client.will_set(*self.will, qos=1, retain=True)

        def begin(
            _client: object, _data: object, _flags: object, code: paho.ReasonCode, _props: object
        ) -> None:
            if code.is_failure:
                client.disconnect()
            elif self.topics:
                client.subscribe([(topic, 1) for topic in self.topics])
            else:
                self._begin()

        # `connect` runs in a thread of the pool, and only the loop's own thread may touch the loop.
        call = loop.call_soon_threadsafe
        client.on_socket_open = lambda _client, _data, sock: call(
            loop.add_reader, sock.fileno(), client.loop_read
        )
        client.on_socket_close = lambda _client, _data, sock: self._forget(loop, sock.fileno())
        client.on_socket_register_write = lambda _client, _data, sock: call(
            self._watch, loop, client, sock.fileno()
        )
        client.on_socket_unregister_write = lambda _client, _data, sock: loop.remove_writer(sock.fileno())
        client.on_connect = begin
        client.on_subscribe = lambda *_: self._begin()
        client.on_publish = lambda _client, _data, mid, *_: self._arrived(mid)
        client.on_message = lambda _client, _data, message: self.heard(message.topic, message.payload)
        client.on_disconnect = lambda *_: self._closed.set()
        return client

    @staticmethod
    def _watch(loop: asyncio.AbstractEventLoop, client: paho.Client, number: int) -> None:
        # It may have been closed between the call and now, and its number taken by another one.
        sock = client.socket()
        if sock is not None and sock.fileno() == number and client.want_write():
            loop.add_writer(number, client.loop_write)

    @staticmethod
    def _forget(loop: asyncio.AbstractEventLoop, number: int) -> None:
        loop.remove_reader(number)
        loop.remove_writer(number)

    def _begin(self) -> None:
        self.is_up, self.connections = True, self.connections + 1
        self.up()
        self._send()

    def _send(self) -> None:
        while self.is_up and self.outbox and len(self.flying) < WINDOW:
            post = self.outbox.popleft()
            info = self._client.publish(post.topic, post.payload, qos=1, retain=post.retain)
            self.flying[info.mid] = post

    def _arrived(self, mid: int) -> None:
        post = self.flying.pop(mid, None)
        if post is not None and post.arrived is not None:
            post.arrived()
        self._send()

    def _lost(self) -> None:
        was_up, self.is_up = self.is_up, False
        self.put_first(list(self.flying.values()))
        self.flying.clear()
        if was_up:
            self.down()
