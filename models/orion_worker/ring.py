# SPDX-License-Identifier: MPL-2.0
"""The memory in which the host shares pictures: sealed, cut into slots of one size, and only read here."""

import fcntl
import mmap
import os
import weakref
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orion_worker import wire
from orion_worker.errors import MessageError
from orion_worker.log import log

VARIABLE = "ORION_SHM"
"""Environment variable of the offer: number of the descriptor, slots, bytes of a slot, as `5:3:67108864`."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A frame's number, and a reference to its picture that dies when nothing looks at that any more."""

    seq: int
    seen: "weakref.ref[NDArray[np.uint8]]"


class Ring:
    """The slots, mapped for reading.

    A slot is ours from the message that names it until its answer: then the host may write the next
    picture there. A detector that keeps more than that gets copies from then on.

    Args:
        descriptor: the file; stays open here and may be closed afterwards.
        slots: how many there are.
        slot_size: bytes of each.

    Raises:
        OSError: it cannot be mapped.
        ValueError: the file is not as large as the slots, or could be made smaller.
    """

    def __init__(self, descriptor: int, slots: int, slot_size: int):
        size = slots * slot_size
        if slots < 1 or slot_size < 1 or os.fstat(descriptor).st_size != size:
            raise ValueError(f"{slots} slots of {slot_size} bytes, but {os.fstat(descriptor).st_size} in all")
        if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise ValueError("it is not sealed")
        self._memory = np.frombuffer(mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ), np.uint8)
        self._slots, self._slot_size = slots, slot_size
        self._copies = False

    @classmethod
    def claim(cls, environment: MutableMapping[str, str] = os.environ) -> "Ring | None":
        """What the host offers, or None; neither variable nor descriptor are left to child processes.

        An offer that cannot be taken is logged: the host then sends pictures through standard input.
        """
        offer = environment.pop(VARIABLE, None)
        if offer is None:
            return None
        try:
            descriptor, slots, slot_size = map(int, offer.split(":"))
            ring = cls(descriptor, slots, slot_size)
            os.close(descriptor)
        except (OSError, ValueError, OverflowError) as error:
            log.warning("%s=%s: no shared memory: %s", VARIABLE, offer[:64], error)
            return None
        return ring

    def view(self, place: wire.Shared, seq: int) -> tuple[memoryview, Lease]:
        """The bytes in one place, not a copy of them, and what `give_back` needs.

        Raises:
            MessageError: `bad_message`; the place is not inside a slot, or there is no such slot.
        """
        if place.slot >= self._slots:
            text = f"shm.slot is {place.slot}, but there are {self._slots} slots, from 0"
            raise MessageError("bad_message", f"frame: {text}", seq)
        if place.offset + place.length > self._slot_size:
            text = f"shm.offset {place.offset} and length {place.length} reach beyond {self._slot_size} bytes"
            raise MessageError("bad_message", f"frame: {text}", seq)
        start = place.slot * self._slot_size + place.offset
        seen = self._memory[start : start + place.length].view(_Seen)
        if self._copies:
            seen = seen.copy()
        return memoryview(seen), Lease(seq, weakref.ref(seen))

    def give_back(self, lease: Lease) -> None:
        """To be called before the answer, with which the slot is the host's again."""
        if lease.seen() is not None and not self._copies:
            self._copies = True
            text = "the detector keeps the image of frame %d: it gets copies from now on, which take time"
            log.warning(text, lease.seq)


class _Seen(np.ndarray[Any, np.dtype[np.uint8]]):
    """A type of its own, so that views of it refer to it and not to the whole memory."""
