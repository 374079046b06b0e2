# SPDX-License-Identifier: MPL-2.0
"""The two ends of the host's pipes, kept out of reach of everything else in the process."""

import fcntl
import io
import os
import sys
from contextlib import suppress
from dataclasses import dataclass

from orion_worker.errors import StreamError
from orion_worker.framing import Message, read_line, read_message
from orion_worker.log import private_stream

_BUFFER = 1 << 16


@dataclass(frozen=True, slots=True)
class Channel:
    """Messages from the host and to it.

    Either end may be a terminal instead: then a person types the input (`is_typed`), one command a
    line, or reads the output (`is_read_by_person`).
    """

    source: io.BufferedReader
    sink: int
    is_typed: bool = False
    is_read_by_person: bool = False

    @classmethod
    def claim(cls) -> "Channel":
        """Take standard input and output for the protocol.

        Both are moved to private descriptors. The number of standard output then means standard
        error, so that neither a `print` nor a C library can write into the messages, and standard
        input is empty, so that nothing else, a child process least of all, can eat one.

        Raises:
            StreamError: one of the two is closed.
        """
        try:
            sink = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
            os.dup2(2, 1)
            source = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            # A host may have made its ends non-blocking, which a socket pair shares.
            os.set_blocking(source, True)
            os.set_blocking(sink, True)
        except OSError as error:
            raise StreamError("closed", f"standard input, output and error must be open: {error}") from error
        _redirect_prints()
        reader = io.BufferedReader(io.FileIO(source), _BUFFER)
        return cls(reader, sink, os.isatty(source), os.isatty(sink))

    def receive(self) -> Message | None:
        """The next message; waits for it. Returns and errors as `framing.read_message`."""
        return read_line(self.source) if self.is_typed else read_message(self.source)

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            BrokenPipeError: the host has gone.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.sink, rest) :]


def _redirect_prints() -> None:
    # What was printed so far is still in the buffer, and goes where descriptor 1 points now. From here
    # on lines come when they are printed, in UTF-8 whatever the locale, and while a picture is decoded.
    with suppress(AttributeError, OSError):  # it may be None, or nobody reads standard error
        sys.stdout.flush()
    sys.stdout, sys.stderr = private_stream(1), private_stream(2)
