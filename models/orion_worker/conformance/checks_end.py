# SPDX-License-Identifier: MPL-2.0
"""How a worker ends: when the input ends, when it makes no sense, when it is told to."""

from orion_worker.conformance.bench import Bench
from orion_worker.conformance.checks_start import END_S
from orion_worker.conformance.host import Broken, Host


def end_of_input(bench: Bench) -> str:
    """At the end of input the frames in hand are answered; then it exits with status 0."""
    host = bench.start()
    frames = [bench.frame("", 640, 480, step=step) for step in range(2)]
    host.send(*(frame.message for frame in frames))
    host.end_input()
    for frame in frames:
        try:
            got = host.receive().get("frame_seq")
        except Broken as error:
            raise Broken(f"frame {frame.seq}, sent before the end of input: {error}") from error
        if got != frame.seq:
            raise Broken(f"frame {got} was answered where {frame.seq} is due")
    status = host.wait(END_S)
    if status != 0:
        raise Broken(f"exit status {status} after the end of input, expected 0")
    return "both frames in hand answered, exit status 0"


def end_inside_message(bench: Bench) -> str:
    """When the input ends in the middle of a message it ends, too."""
    host = bench.start()
    host.send_bytes((1000).to_bytes(4, "big") + b"only some of it")
    host.end_input()
    return f"exit status {host.wait(bench.timeout)}"


def long_length(bench: Bench) -> str:
    """A length of 4 GiB brings an error or an exit status, and never a wait for 4 GiB."""
    host = bench.start()
    host.send_bytes(b"\xff\xff\xff\xff" + b"body")
    try:
        answer = host.receive()
    except Broken as error:
        return _nonzero(host, str(error))
    if answer["type"] != "error":
        raise Broken(f"it answered a length of 4 GiB with a message of type {answer['type']!r}")
    return f"error {answer.get('code')!r}"


def sigterm(bench: Bench) -> str:
    """SIGTERM ends it and all that it started, idle as well as at work."""
    for at_work in (False, True):
        host = bench.start()
        if at_work:
            host.send(bench.frame("", 1920, 1080).message)
        else:
            bench.ask(bench.frame(), host)
        host.terminate()
        try:
            host.wait(END_S)
        except Broken as error:
            raise Broken(f"after SIGTERM {'at work' if at_work else 'when idle'}: {error}") from error
    return f"ended within {END_S:g} s, idle and at work"


def _nonzero(host: Host, said: str) -> str:
    try:
        status = host.wait_alone(END_S)
    except Broken as error:
        raise Broken(f"a length of 4 GiB brought neither an error nor an end: {said}") from error
    if status == 0:
        raise Broken("a length of 4 GiB brought no error, and exit status 0")
    return f"no error message, exit status {status}"
