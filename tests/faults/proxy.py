# SPDX-License-Identifier: MPL-2.0
"""A TCP proxy on loopback that does to connections what networks do to them."""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Edit = Callable[[bytes], bytes]
"""What becomes of the bytes of one way of one connection, in their order."""


@dataclass
class Way:
    """How bytes go one way."""

    flows: bool = True
    """False: nothing arrives, and nobody is told."""
    delay_s: float = 0.0
    loss: float = 0.0
    """The fraction of pieces that arrive only when TCP has sent them again, with all that come after them."""
    rate: float = 0.0
    """Bytes a second at most; 0 = any number."""
    editor: Callable[[], Edit] | None = None
    """Makes the editor of a new or a present connection."""


@dataclass(eq=False)
class _Line:
    """One connection and its two ends."""

    writers: tuple[asyncio.StreamWriter, ...]
    tasks: list[asyncio.Task] = field(default_factory=list)


# What a TCP stack waits at least until it sends again (RFC 6298 says 1 s, Linux does 0.2 s).
_AGAIN_S = 0.2


class Proxy:
    """Forwards connections to a port of this machine; in a thread of its own, gone after `close`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.up, self.down = Way(), Way()
        self.mute = False
        """True: new connections are taken, and nobody ever answers."""
        self._random = random.Random(1)
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def _do(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 18)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _deafen(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    async def _end(self, reset: bool) -> None:
        for line in list(self._lines):
            for writer in line.writers:
                sock = writer.get_extra_info("socket")
                if reset and sock:
                    # Closed with data unsent: the other end gets a reset.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort() if reset else writer.close()
            for task in line.tasks:
                task.cancel()

    # What can be done to it.

    def refuse(self) -> None:
        """Nobody listens any more; connections that are there end."""
        self._do(self._deafen())
        self._do(self._end(reset=False))

    def accept(self) -> None:
        """Listens again."""
        self._do(self._listen())

    def cut(self) -> None:
        """Ends all connections in good form."""
        self._do(self._end(reset=False))

    def reset(self) -> None:
        """Ends all connections by a reset."""
        self._do(self._end(reset=True))

    def part(self, up: bool = True, down: bool = True) -> None:
        """Nothing goes these ways any more, connections stay as they are, and new ones are taken."""
        self.up.flows, self.down.flows = not up, not down

    def heal(self) -> None:
        """Everything goes through again as it should."""
        self.up, self.down, self.mute = Way(), Way(), False
        self.accept()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._do(self._deafen())
            self._do(self._end(reset=True))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # The connections.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mute:
            line = _Line((writer,))
            line.tasks.append(asyncio.current_task())
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._run(line, self._swallow(reader))
            return
        try:
            onward = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 18)
        except OSError:
            writer.transport.abort()
            return
        line = _Line((writer, onward[1]))
        ways = (self._pump(reader, onward[1], "up"), self._pump(onward[0], writer, "down"))
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._run(line, *ways)

    async def _run(self, line: _Line, *work) -> None:
        self._lines.add(line)
        line.tasks += [asyncio.ensure_future(one) for one in work]
        try:
            # When one end has gone, so has the connection.
            await asyncio.wait(line.tasks[-len(work) :], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._lines.discard(line)
            for task in line.tasks[-len(work) :]:
                task.cancel()
            for writer in line.writers:
                writer.close()

    @staticmethod
    async def _swallow(reader: asyncio.StreamReader) -> None:
        while await reader.read(1 << 16):
            pass

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        edit, made_by = None, None
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 14):
                way: Way = getattr(self, name)
                while not way.flows:
                    await asyncio.sleep(0.01)
                    way = getattr(self, name)
                wait = way.delay_s + (_AGAIN_S if self._random.random() < way.loss else 0)
                wait += len(data) / way.rate if way.rate else 0
                if wait:
                    await asyncio.sleep(wait)
                if way.editor is not made_by:
                    made_by = way.editor
                    edit = made_by() if made_by else None
                writer.write(edit(data) if edit else data)
                await writer.drain()
