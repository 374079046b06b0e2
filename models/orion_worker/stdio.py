# SPDX-License-Identifier: MPL-2.0
"""The two ends of the host's pipes, kept out of reach of everything else in the process."""

import io
import os
from dataclasses import dataclass

from orion_worker.errors import StreamError
from orion_worker.framing import Message, frame, read_message

_BUFFER = 1 << 16


@dataclass(frozen=True, slots=True)
class Channel:
    """Messages from the host and to it."""

    source: io.BufferedReader
    sink: int

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
            sink = os.dup(1)
            os.dup2(2, 1)
            source = os.dup(0)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            # A host may have made its ends non-blocking, which a socket pair shares.
            os.set_blocking(source, True)
            os.set_blocking(sink, True)
        except OSError as error:
            raise StreamError("closed", f"standard input, output and error must be open: {error}") from error
        return cls(io.BufferedReader(io.FileIO(source), _BUFFER), sink)

    def receive(self) -> Message | None:
        """The next message; waits for it. Returns and errors as `framing.read_message`."""
        return read_message(self.source)

    def send(self, body: bytes) -> None:
        """Write one message.

        Raises:
            BrokenPipeError: the host has gone.
            ValueError: the message is too long.
        """
        rest = memoryview(frame(body))
        while rest:
            rest = rest[os.write(self.sink, rest) :]
