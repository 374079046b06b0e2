# SPDX-License-Identifier: MPL-2.0
"""What the checks share: the worker's command, a running worker, and the results seen so far."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orion_worker.adapter import RESERVED
from orion_worker.conformance.host import Broken, Host
from orion_worker.conformance.interrupts import held
from orion_worker.conformance.pictures import Sent, encoded

TIMESTAMP = "2025-01-01T00:00:00.000000001Z"


@dataclass(frozen=True, slots=True)
class Seen:
    """A result, the frame that it answers, and the time from sending to receiving in ms."""

    frame: Sent
    result: dict[str, Any]
    wall_ms: float


@dataclass(frozen=True, slots=True)
class Load:
    """What the frames of the load run took, in ms, and what else was seen."""

    times_ms: list[float]
    growth_bytes: int
    memory_bytes: int
    log_lines: int


class Bench:
    """Runs the worker for the checks; ends everything it started on leaving.

    Args:
        command: program and arguments of the worker.
        timeout: seconds that any answer may take.
        frames: length of the load run.
    """

    def __init__(self, command: Sequence[str], timeout: float, frames: int):
        self.command, self.timeout, self.frames = list(command), timeout, frames
        self.seen: list[Seen] = []
        self.load: Load | None = None
        self.encoding = "jpeg"
        """The format of frames where none is asked for: one that the worker reads."""
        self._hosts: list[Host] = []
        self._shared: Host | None = None
        self._seq = 0

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def launch(
        self,
        extra: Sequence[str] = (),
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> Host:
        """Start a worker; nothing is read yet."""
        with held():
            command = [*self.command, *extra]
            host = Host(command, self.timeout, directory, environment, descriptors)
            self._hosts.append(host)
        return host

    def start(self, *arguments: Any, **named: Any) -> Host:
        """Start a worker and wait for `ready`; arguments as for `launch`."""
        host = self.launch(*arguments, **named)
        host.ready = host.receive()
        if host.ready["type"] != "ready":
            raise Broken(f"its first message is of type {host.ready['type']!r}, expected ready")
        return host

    def worker(self) -> Host:
        """A running worker that the checks share; a new one after it was stopped."""
        if self._shared is None:
            self._shared = self.start()
        return self._shared

    def stop_all(self) -> None:
        """End every worker, now."""
        with held():
            while self._hosts:
                self._hosts.pop().kill()
            self._shared = None

    def last_log_line(self) -> str:
        """The last line on standard error of the worker started last, or nothing."""
        lines = self._hosts[-1].log() if self._hosts else []
        return next((line for line in reversed(lines) if line.strip()), "")

    def frame(
        self, encoding: str = "", width: int = 64, height: int = 48, step: int = 0, **changes: Any
    ) -> Sent:
        """A frame with the next number; `changes` replace fields, `meta` adds to those of `meta`.

        Without an encoding it is one that the worker reads.
        """
        self._seq += 1
        encoding = encoding or self.encoding
        meta = {"instance_id": "check", "room_id": "room-1", "seq": self._seq, "timestamp": TIMESTAMP}
        message = {
            "type": "frame",
            "frame_data": changes.pop("data", None),
            "format": encoding,
            "width": width,
            "height": height,
            "meta": meta | changes.pop("meta", {}),
        }
        if message["frame_data"] is None:
            message["frame_data"] = encoded(encoding, width, height, step)
        message |= changes
        return Sent(message, message["meta"]["seq"], width, height)

    def ask(self, frame: Sent, host: Host | None = None) -> dict[str, Any]:
        """Send a frame and return the answer, a result or an `error`; a result is noted.

        Raises:
            Broken: none comes, or none that a frame can have.
        """
        host = host or self.worker()
        start = time.perf_counter()
        host.send(frame.message)
        answer = host.receive()
        if answer["type"] == "error":
            return answer
        if answer["type"] in RESERVED:
            raise Broken(f"it answered a frame with a message of type {answer['type']!r}")
        self.seen.append(Seen(frame, answer, 1e3 * (time.perf_counter() - start)))
        return answer

    def result(self, frame: Sent, host: Host | None = None, what: str = "a good frame") -> dict[str, Any]:
        """Send a frame that has to bring a result.

        Raises:
            Broken: it brought an error.
        """
        answer = self.ask(frame, host)
        if answer["type"] == "error":
            raise Broken(f"it answered {what} with {error_text(answer)}")
        return answer

    def still_works(self, after: str) -> None:
        """One more good frame.

        Raises:
            Broken: it brings no result.
        """
        try:
            self.result(self.frame())
        except Broken as error:
            raise Broken(f"the good frame after {after}: {error}") from error


def error_text(answer: Mapping[str, Any]) -> str:
    """An `error` message in words."""
    return f"error {answer.get('code')!r}: {str(answer.get('message'))[:160]}"


def problem_of_error(answer: Mapping[str, Any]) -> str | None:
    """What is wrong with the form of an `error` message, or None."""
    if answer["type"] != "error":
        return f"a message of type {answer['type']!r}, expected error"
    for field in ("code", "message"):
        if not isinstance(answer.get(field), str) or not answer[field]:
            return f"an error whose {field} is {answer.get(field)!r}, expected text"
    return None
