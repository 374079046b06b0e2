# SPDX-License-Identifier: MPL-2.0
"""Input that deserves an error, and commands: everything is answered and nothing is fatal."""

import random
from typing import Any

import msgspec

from orion_worker.conformance.bench import Bench, problem_of_error
from orion_worker.conformance.host import Broken
from orion_worker.conformance.pictures import Sent, encoded, huge_jpeg
from orion_worker.framing import frame as framed


def bad_jpeg(bench: Bench) -> str:
    """A JPEG that cannot be decoded whole is answered by an error with its number."""
    whole = encoded("jpeg", 640, 480)
    noise = random.Random(7).randbytes(5000)
    cases = {
        "a JPEG cut in the middle": whole[: len(whole) // 2],
        "random bytes": noise,
        "a JPEG header and random bytes": whole[:300] + noise,
        "no bytes": b"",
    }
    for what, data in cases.items():
        _expect_error(bench, bench.frame("jpeg", 640, 480, data=data), what)
        bench.still_works(what)
    return ", ".join(cases)


def bad_raw(bench: Bench) -> str:
    """A raw frame of the wrong length or without a size is answered by an error with its number."""
    data = encoded("rgb", 64, 48)
    cases = {
        "rgb of one byte too few": bench.frame("rgb", data=data[:-1]),
        "rgb of one byte too many": bench.frame("rgb", data=data + b"\0"),
        "rgb of width 0": bench.frame("rgb", 0, 48, data=data),
        "rgb of height 0": bench.frame("rgb", 64, 0, data=data),
        "rgb of 65535x65535 px": bench.frame("rgb", 65535, 65535, data=data),
    }
    for what, frame in cases.items():
        _expect_error(bench, frame, what)
        bench.still_works(what)
    return ", ".join(cases)


def huge_declared_jpeg(bench: Bench) -> str:
    """A JPEG that declares 65535x65535 px is refused, and not by running out of memory."""
    what = "a JPEG that declares 65535x65535 px"
    _expect_error(bench, bench.frame("jpeg", 0, 0, data=huge_jpeg()), what)
    bench.still_works(what)
    return "refused"


def garbage(bench: Bench) -> str:
    """A body that is no message of the protocol is answered by an error."""
    encode = msgspec.msgpack.encode
    cases = {
        "an array instead of a map": encode([1, 2]),
        "an unknown type": encode({"type": "telemetry"}),
        "a frame without fields": encode({"type": "frame"}),
        "a command without name": encode({"type": "command", "id": "1"}),
        "no MessagePack": b"\xc1garbage",
        "an empty body": b"",
    }
    host = bench.worker()
    for what, body in cases.items():
        host.send_bytes(framed(body))
        _check_error(bench, what)
        bench.still_works(what)
    return ", ".join(cases)


def commands(bench: Bench) -> str:
    """Commands are acknowledged with their id; an unknown one with status `error`."""
    for number, name in enumerate(("ping", "no_such_command")):
        sent = {"type": "command", "id": f"id-{number}", "command": name, "params": {}}
        bench.worker().send(sent)
        answer = _acknowledgement(bench, sent)
        if name == "no_such_command" and answer["status"] != "error":
            raise Broken(f"the unknown command {name} was acknowledged with status {answer['status']!r}")
        if answer["status"] == "error" and not isinstance(answer.get("error"), str):
            raise Broken(f"error of the acknowledgement of {name} is {answer.get('error')!r}, expected text")
    bench.still_works("the commands")
    return "acknowledged"


def json_line(bench: Bench) -> str:
    """A command typed as one line of JSON is answered, blank lines are not."""
    sent = {"id": "typed", "command": "ping"}
    bench.worker().send_bytes(b"\n" + msgspec.json.encode(sent) + b"\r\n\n")
    _acknowledgement(bench, sent)
    bench.still_works("the line of JSON")
    return "answered"


def _expect_error(bench: Bench, frame: Sent, what: str) -> None:
    bench.worker().send(frame.message)
    answer = _check_error(bench, what)
    if answer.get("frame_seq") != frame.seq:
        raise Broken(f"the error for {what} has frame_seq {answer.get('frame_seq')!r}, expected {frame.seq}")


def _check_error(bench: Bench, what: str) -> dict[str, Any]:
    try:
        answer = bench.worker().receive()
    except Broken as error:
        raise Broken(f"{what}: {error}") from error
    if problem := problem_of_error(answer):
        raise Broken(f"{what} was answered by {problem}")
    return answer


def _acknowledgement(bench: Bench, sent: dict[str, Any]) -> dict[str, Any]:
    answer, name = bench.worker().receive(), sent["command"]
    if answer["type"] != "ack":
        raise Broken(f"the command {name} was answered by a message of type {answer['type']!r}, expected ack")
    for field in ("id", "command"):
        if answer.get(field) != sent[field]:
            raise Broken(f"{field} of the acknowledgement of {name} is {answer.get(field)!r}")
    if answer.get("status") not in ("success", "error"):
        raise Broken(f"status of the acknowledgement of {name} is {answer.get('status')!r}")
    return answer
