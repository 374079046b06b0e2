# SPDX-License-Identifier: MPL-2.0
"""Messages on a byte stream: 4-byte big-endian length and body, or one line of JSON."""

from dataclasses import dataclass
from typing import Protocol

from orion_worker.errors import StreamError

MAX_MESSAGE = 64 * 1024 * 1024
MAX_LINE = 64 * 1024
_HEADER = 4
_BLANK = b" \t\r\n"


class Source(Protocol):
    """A blocking byte stream, e.g. `io.BufferedReader`; empty bytes mean end of file."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, fewer only at the end of the stream."""
        ...

    def readline(self, size: int, /) -> bytes:
        """Bytes up to and including a line feed, at most `size`."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """The body of one message; `typed` marks a line of JSON entered by a person."""

    body: bytes
    typed: bool = False


def frame(body: bytes) -> bytes:
    """Put the length in front of a message body.

    Raises:
        ValueError: the body is longer than `MAX_MESSAGE` bytes.
    """
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"message of {len(body)} bytes, at most {MAX_MESSAGE} allowed")
    return len(body).to_bytes(_HEADER, "big") + body


def read_message(source: Source) -> Message | None:
    """Read the next message, or None when the stream ends between two messages.

    Raises:
        StreamError: the stream ends inside a message, or a length is above `MAX_MESSAGE`; after
            either one the start of the next message is unknown.
    """
    first = source.read(1)
    # A legal length starts with a byte of at most 4, so the blank lines a person types are no length.
    while first and first in _BLANK:
        first = source.read(1)
    if not first:
        return None
    if first == b"{":
        return _typed(source)
    header = first + _exactly(source, _HEADER - 1, "length", already=1)
    length = int.from_bytes(header, "big")
    if length > MAX_MESSAGE:
        raise StreamError("message_too_long", f"message length {length} bytes, at most {MAX_MESSAGE} allowed")
    return Message(_exactly(source, length, "body"))


def read_line(source: Source) -> Message | None:
    """Read what a person types at a terminal: the next line that is not blank, or None at the end.

    Raises:
        StreamError: the line is longer than `MAX_LINE` bytes.
    """
    while line := source.readline(MAX_LINE):
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            raise _line_too_long()
        if line.strip():
            return Message(line, typed=True)
    return None


def _line_too_long() -> StreamError:
    return StreamError("message_too_long", f"JSON line longer than {MAX_LINE} bytes")


def _typed(source: Source) -> Message:
    rest = source.readline(MAX_LINE)
    if len(rest) == MAX_LINE and not rest.endswith(b"\n"):
        raise _line_too_long()
    return Message(b"{" + rest, typed=True)


def _exactly(source: Source, size: int, part: str, already: int = 0) -> bytes:
    data = source.read(size)
    if len(data) < size:
        got, wanted = already + len(data), already + size
        text = f"stream ended inside a message: {got} of {wanted} bytes of its {part}"
        raise StreamError("truncated_message", text)
    return data
