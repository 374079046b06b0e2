# SPDX-License-Identifier: MPL-2.0
"""Work done ahead, on a thread of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

M = TypeVar("M")
T = TypeVar("T")

CLOSE_S = 5.0
"""How long `close` waits for a preparation that is under way; far more than one takes."""


class Ahead(Generic[M, T]):
    """Receives and prepares the next item, or the next few, while what was taken last is worked on.

    The thread begins an item when fewer than `depth` lie ready: memory and delay stay constant however
    fast the other side sends.

    Args:
        receive: waits for the next message; None means that there will be no more.
        prepare: turns a message into an item.
        depth: how many items may lie ready.
    """

    def __init__(self, receive: Callable[[], M | None], prepare: Callable[[M], T], depth: int = 1):
        self._receive, self._prepare, self._depth = receive, prepare, depth
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._end: BaseException | None = None
        self._ended = self._stopped = self._preparing = False
        # A daemon, because nothing can wake a thread that waits for its input.
        self._thread = threading.Thread(target=self._run, name="orion-reader", daemon=True)

    def start(self) -> None:
        """Begin with the first item."""
        self._thread.start()

    def take(self) -> T | None:
        """The next item, in the order of the messages; waits for it. None after the last one.

        Raises:
            BaseException: what `receive` or `prepare` raised, after every item before it was taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended)
            if not self._items:
                if self._end is not None:
                    raise self._end
                return None
            item = self._items.popleft()
            self._changed.notify()
            return item

    def take_more(self, most: int, suits: Callable[[T], bool], wait_s: float) -> list[T]:
        """The items behind the last one taken, as long as they suit, up to `most` of them.

        Waits for them no longer than `wait_s` in all, and not at all for what comes after one that does
        not suit.
        """
        taken: list[T] = []
        until = time.monotonic() + wait_s if wait_s > 0 else 0.0
        with self._changed:
            while len(taken) < most:
                if not self._items and wait_s > 0:
                    left = max(0.0, until - time.monotonic())
                    self._changed.wait_for(lambda: self._items or self._ended, left)
                if not self._items or not suits(self._items[0]):
                    break
                taken.append(self._items.popleft())
                self._changed.notify()
        return taken

    def close(self) -> None:
        """Stop; a preparation under way is waited for, at most `CLOSE_S`.

        A library that still runs while the process takes itself apart may crash it.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify()
            preparing = self._preparing
        if preparing:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            while self._step():
                pass
        except BaseException as error:  # whatever it is, the taker has to hear of it, or would wait for ever
            end = error
        with self._changed:
            self._end, self._ended, self._preparing = end, True, False
            self._changed.notify()

    def _step(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._stopped)
        message = self._receive()
        with self._changed:
            if message is None or self._stopped:
                return False
            self._preparing = True
        item = self._prepare(message)
        with self._changed:
            self._items.append(item)
            self._preparing = False
            self._changed.notify()
        return True
