# SPDX-License-Identifier: MPL-2.0
"""What a C library writes to standard error, caught instead of let through."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryFile

MAX_CAUGHT = 4096


class Caught:
    """The text written while the library ran; empty until then."""

    text = ""


@cache
def _store() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("orion-native-log")
    return os.dup(TemporaryFile().fileno())


@contextmanager
def native_log() -> Iterator[Caught]:
    """Point file descriptor 2 at a buffer for the duration of a library call.

    libjpeg reports damaged pictures by printing to standard error only. Caught, the text can be
    judged, and a camera that sends a damaged picture 30 times a second does not flood the log.
    Not for use from several threads at once. Logging and `print` have descriptors of their own and
    are not caught; what C code or a child process of another thread writes to descriptor 2 is.
    """
    store, caught = _store(), Caught()
    os.ftruncate(store, 0)
    os.lseek(store, 0, os.SEEK_SET)
    saved = os.dup(2)
    os.dup2(store, 2)
    try:
        yield caught
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        caught.text = os.pread(store, MAX_CAUGHT, 0).decode(errors="replace").strip()
