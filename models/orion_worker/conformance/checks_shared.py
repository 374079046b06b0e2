# SPDX-License-Identifier: MPL-2.0
"""Pictures in shared memory, for workers that say `shm`."""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orion_worker.conformance.bench import Bench, problem_of_error
from orion_worker.conformance.host import Broken, Host
from orion_worker.conformance.outcome import Skipped
from orion_worker.conformance.pictures import FORMATS, Sent
from orion_worker.ring import VARIABLE

SLOTS, SLOT_SIZE = 3, 8 << 20
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_ROUNDS = 4


class Memory:
    """A ring as the host has one; its slots are `SLOTS` times `SLOT_SIZE` bytes."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("orion-check", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, SLOTS * SLOT_SIZE)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        self._map = mmap.mmap(self.descriptor, SLOTS * SLOT_SIZE)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)

    def environment(self) -> dict[str, str]:
        """Ours, with the offer in it."""
        return os.environ | {VARIABLE: f"{self.descriptor}:{SLOTS}:{SLOT_SIZE}"}

    def bytes(self) -> NDArray[np.uint8]:
        """All of it, to be written to."""
        return np.frombuffer(self._map, np.uint8)

    def put(self, sent: Sent, slot: int, offset: int = 0) -> Sent:
        """The frame with its picture in a slot instead of the message."""
        data = sent.message["frame_data"]
        start = slot * SLOT_SIZE + offset
        self._map[start : start + len(data)] = data
        return self.at(sent, slot, offset, len(data))

    def at(self, sent: Sent, slot: int, offset: int, length: int) -> Sent:
        """The frame with a place instead of its picture."""
        message = {key: value for key, value in sent.message.items() if key != "frame_data"}
        return replace(sent, message=message | {"shm": {"slot": slot, "offset": offset, "length": length}})

    def wipe(self) -> None:
        """Overwrite all that was put anywhere."""
        for slot in range(SLOTS):
            self._map[slot * SLOT_SIZE : slot * SLOT_SIZE + SLOT_SIZE] = b"\xa5" * SLOT_SIZE

    def close(self) -> None:
        """Let go of it."""
        self._map.close()
        os.close(self.descriptor)


def shared_memory(bench: Bench) -> str:
    """A worker that says `shm` reads pictures there, and refuses what is not there."""
    with _running(bench) as (host, memory):
        read = [encoding for encoding in FORMATS if _reads(bench, host, encoding)]
        for encoding in read:
            _compare(bench, host, memory, encoding)
        _refusals(bench, host, memory)
    return f"{', '.join(read)} in {SLOTS} slots; what is not there is refused"


@contextmanager
def _running(bench: Bench) -> Iterator[tuple[Host, Memory]]:
    memory = Memory()
    try:
        host = bench.start(environment=memory.environment(), descriptors=[memory.descriptor])
        given = host.ready.get("shm", False)
        if not isinstance(given, bool):
            raise Broken(f"ready.shm is {given!r}, expected true or false")
        if not given:
            raise Skipped("it takes pictures from its standard input only")
        yield host, memory
    finally:
        memory.close()


def _reads(bench: Bench, host: Host, encoding: str) -> bool:
    return bench.ask(bench.frame(encoding), host)["type"] != "error"


def _compare(bench: Bench, host: Host, memory: Memory, encoding: str) -> None:
    for turn in range(_ROUNDS):
        # What it finds may depend on what it saw before, so that only the size can be compared.
        sent = bench.frame(encoding, 320, 240, step=turn)
        slot, offset = turn % SLOTS, 4096 * turn
        what = f"{encoding} in slot {slot} at {offset}"
        answer = bench.result(memory.put(sent, slot, offset), host, what)
        given = answer.get("data", {}).get("metadata", {})
        size = tuple(given.get(name, side) for name, side in (("frame_width", 320), ("frame_height", 240)))
        if size != (320, 240):
            raise Broken(f"it saw {size[0]}x{size[1]} px in {what}, expected 320x240")
    memory.wipe()
    spoilt = memory.at(bench.frame("jpeg", 320, 240), 0, 0, 5000)
    answer = bench.ask(spoilt, host) if encoding == "jpeg" else {"type": "error"}
    if answer["type"] != "error":
        raise Broken("it found a JPEG in a slot that has none: it does not look into the memory")


def _refusals(bench: Bench, host: Host, memory: Memory) -> None:
    good = bench.frame()
    size = len(good.message["frame_data"])
    places: list[tuple[Any, Any, Any]] = [
        (0, SLOT_SIZE - 1, size),
        (SLOTS, 0, size),
        (2**63, 0, size),
        (0, 2**64 - 1, size),
        (SLOTS - 1, 0, SLOT_SIZE + 1),
        (0, 0, 2**64 - 1),
        (-1, 0, size),
        ("0", 0, size),
        (0, 0, None),
    ]
    # A good picture, but across the border of two slots.
    memory.put(good, 0, SLOT_SIZE - 1)
    for slot, offset, length in places:
        what = f"a frame in slot {slot!r} at {offset!r} with {length!r} bytes"
        sent = memory.at(bench.frame(), slot, offset, length)
        host.send(sent.message)
        answer = host.receive()
        if problem := problem_of_error(answer):
            raise Broken(f"{what} was answered by {problem}")
        if answer.get("frame_seq", sent.seq) != sent.seq:
            raise Broken(f"the error for {what} has frame_seq {answer['frame_seq']!r}, expected {sent.seq}")
        bench.result(memory.put(bench.frame(), 2), host, f"the good frame after {what}")
