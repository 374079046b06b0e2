# SPDX-License-Identifier: MPL-2.0
"""Signals that end the tool, held back while leaving would leave a process behind."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    held = False
    came: int | None = None


@contextmanager
def leave_on_signals() -> Iterator[None]:
    """Turn the signals into `SystemExit` with status 128 + number, so that everything is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    saved = {number: signal.signal(number, _on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Let nothing interrupt what is done inside; a signal that came meanwhile counts afterwards."""
    _State.held, outer = True, _State.held
    try:
        yield
    finally:
        _State.held = outer
    if not outer and _State.came is not None:
        number, _State.came = _State.came, None
        raise SystemExit(128 + number)


def _on_signal(number: int, _: object) -> None:
    if not _State.held:
        raise SystemExit(128 + number)
    _State.came = number
