# SPDX-License-Identifier: MPL-2.0
"""Messages on a byte stream."""

import io

import pytest

from orion_worker.errors import StreamError
from orion_worker.framing import MAX_LINE, MAX_MESSAGE, Message, frame, read_line, read_message


def test_messages_are_read_one_after_the_other_until_a_clean_end():
    source = io.BytesIO(frame(b"first") + frame(b"") + frame(b"third"))
    assert [read_message(source) for _ in range(4)] == [
        Message(b"first"),
        Message(b""),
        Message(b"third"),
        None,
    ]


def test_the_length_is_big_endian():
    assert frame(b"x" * 258)[:4] == b"\x00\x00\x01\x02"


@pytest.mark.parametrize(("cut", "part"), [(1, "length"), (3, "length"), (4, "body"), (8, "body")])
def test_an_end_inside_a_message_is_not_a_clean_end(cut, part):
    with pytest.raises(StreamError, match=f"of its {part}") as error:
        read_message(io.BytesIO(frame(b"12345")[:cut]))
    assert error.value.code == "truncated_message"


def test_a_length_above_the_limit_is_refused_before_anything_is_read():
    source = io.BytesIO((MAX_MESSAGE + 1).to_bytes(4, "big") + b"body")
    with pytest.raises(StreamError, match="67108865 bytes, at most 67108864"):
        read_message(source)
    assert source.read() == b"body"


def test_garbage_that_is_no_length_is_refused():
    with pytest.raises(StreamError, match="message length"):
        read_message(io.BytesIO(b"GET / HTTP/1.1\r\n"))


def test_a_line_of_json_stands_between_framed_messages():
    source = io.BytesIO(b'{"a":1}\n' + frame(b"x") + b'\r\n {"b":2}')
    read = [read_message(source) for _ in range(4)]
    assert read == [Message(b'{"a":1}\n', True), Message(b"x"), Message(b'{"b":2}', True), None]


def test_a_line_has_a_limit():
    with pytest.raises(StreamError, match="JSON line longer than"):
        read_message(io.BytesIO(b"{" + b"a" * MAX_LINE))


def test_a_body_above_the_limit_is_never_written():
    with pytest.raises(ValueError, match="at most 67108864"):
        frame(bytes(MAX_MESSAGE + 1))


def test_at_a_terminal_every_line_that_is_not_blank_is_a_message():
    source = io.BytesIO(b"\n ping\n\r\n\t\n{\x00}\nno line feed")
    read = [read_line(source) for _ in range(4)]
    assert read == [
        Message(b" ping\n", True),
        Message(b"{\x00}\n", True),
        Message(b"no line feed", True),
        None,
    ]


def test_a_line_at_a_terminal_has_a_limit():
    with pytest.raises(StreamError, match="JSON line longer than"):
        read_line(io.BytesIO(b"a" * MAX_LINE))
