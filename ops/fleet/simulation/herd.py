# SPDX-License-Identifier: MPL-2.0
"""A process with many instances; it answers questions over a pipe."""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from .child import Child
from .instance import Counts, Instance

# Connections that are being made at a time.
_CONNECTING = 32
_TICK_S = 2.0
_GOODBYE_S = 10.0


class Herd(Child):
    """The process, from outside."""

    def __init__(self, names: list[str], address: tuple[str, int], rate_hz: float) -> None:
        super().__init__("a process of the simulation", _main, names, address, rate_hz)

    def ask(self, what: str) -> Any:
        """`counts`, `ready`, `idle`, `totals`, or to `rest`, to say `goodbye`.

        Raises:
            RuntimeError: The process has ended, or does not answer.
        """
        return self._asked(what)


def _main(pipe: Connection, names: list[str], address: tuple[str, int], rate_hz: float) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(pipe, names, address, rate_hz))


async def _run(pipe: Connection, names: list[str], address: tuple[str, int], rate_hz: float) -> None:
    counts, loop, over = Counts(), asyncio.get_running_loop(), asyncio.Event()
    with ThreadPoolExecutor(_CONNECTING) as pool:
        instances = [Instance(name, address, rate_hz, counts, pool) for name in names]
        for instance in instances:
            instance.start()
        asked: asyncio.Queue[str] = asyncio.Queue()
        loop.add_reader(pipe.fileno(), _hear, pipe, asked, over)
        ticking = loop.create_task(_tick(instances))
        answering = loop.create_task(_answer(pipe, asked, instances, counts))
        await over.wait()
        loop.remove_reader(pipe.fileno())
        for task in (ticking, answering):
            task.cancel()
        await asyncio.gather(*(instance.leave() for instance in instances))


def _hear(pipe: Connection, asked: asyncio.Queue[str], over: asyncio.Event) -> None:
    try:
        asked.put_nowait(pipe.recv())
    except (EOFError, OSError):
        # Nobody wants anything any more.
        over.set()


async def _tick(instances: list[Instance]) -> None:
    while True:
        for instance in instances:
            instance.tick()
        await asyncio.sleep(_TICK_S)


async def _answer(
    pipe: Connection, asked: asyncio.Queue[str], instances: list[Instance], counts: Counts
) -> None:
    while True:
        match await asked.get():
            case "counts":
                pipe.send({**asdict(counts), "at": time.monotonic()})
            case "ready":
                pipe.send([one.ready_at for one in instances if one.ready_at is not None])
            case "idle":
                pipe.send(all(one.is_idle() for one in instances))
            case "totals":
                pipe.send({one.name: one.seq for one in instances})
            case "rest":
                for one in instances:
                    one.rest()
                pipe.send(None)
            case "goodbye":
                for one in instances:
                    one.goodbye()
                end = time.monotonic() + _GOODBYE_S
                while time.monotonic() < end and not all(one.is_idle() for one in instances):
                    await asyncio.sleep(0.05)
                pipe.send(all(one.is_idle() for one in instances))
            case other:
                pipe.send(RuntimeError(f"no such question: {other}"))
