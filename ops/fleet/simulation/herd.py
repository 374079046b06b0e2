# SPDX-License-Identifier: MPL-2.0
"""A process with many instances; it answers questions over a pipe."""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from .instance import Counts, Instance

# Connections that are being made at a time.
_CONNECTING = 32
_TICK_S = 2.0
_GOODBYE_S = 10.0
_ANSWER_S = 30.0


class Herd:
    """The process, from outside."""

    def __init__(self, names: list[str], address: tuple[str, int], rate_hz: float) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs, names, address, rate_hz), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, what: str) -> Any:
        """`counts`, `ready`, `idle`, `totals`, or to `rest`, to say `goodbye`.

        Raises:
            RuntimeError: The process has ended, or does not answer.
        """
        try:
            self._pipe.send(what)
            if self._pipe.poll(_ANSWER_S):
                return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError("a process of the simulation has ended before its time") from error
        raise RuntimeError(f"a process of the simulation has not answered within {_ANSWER_S:g} s")

    def end(self) -> None:
        """Ends the process, whatever it is doing."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5)


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
