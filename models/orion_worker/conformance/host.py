# SPDX-License-Identifier: MPL-2.0
"""The host's end of a worker process: start, messages, end. Every wait has a limit."""

import fcntl
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from orion_worker.framing import MAX_MESSAGE, frame

_CHUNK, _SLOW_CHUNK, _SLOW_PAUSE_S = 1 << 16, 256, 0.001
_POLL_S, _END_POLL_S = 0.01, 0.001


class Broken(Exception):
    """The worker broke a rule; the text says how."""


class Host:
    """A running worker process, in a session of its own so that all of it can be ended.

    Args:
        command: program and arguments.
        timeout: seconds that one answer, or taking one message, may last.
        directory: where it runs, by default here.
        environment: its whole environment, by default ours.
        descriptors: what it inherits beside the standard ones.

    Raises:
        OSError: the program cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        timeout: float,
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ):
        self._timeout = timeout
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill)
        self._input = bytearray()
        self.is_slow = False
        self.ready: dict[str, Any] = {}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                cwd=directory,
                env=environment,
                start_new_session=True,
                pass_fds=tuple(descriptors),
            )
        except OSError:
            self._log.close()
            raise
        for stream in (self._process.stdin, self._process.stdout):
            os.set_blocking(stream.fileno(), False)

    def send(self, *messages: Any) -> None:
        """Send messages in one go; errors as `send_bytes`."""
        self.send_bytes(b"".join(frame(msgspec.msgpack.encode(message)) for message in messages))

    def send_bytes(self, data: bytes) -> None:
        """Write to standard input; what comes meanwhile is kept.

        Raises:
            Broken: the worker has closed its input or takes nothing for the timeout.
        """
        stream, output = self._process.stdin.fileno(), self._process.stdout.fileno()
        rest, deadline = memoryview(data), time.monotonic() + self._timeout
        watched = [output]
        while rest:
            try:
                rest = rest[os.write(stream, rest) :]
                continue
            except BlockingIOError:
                pass
            except BrokenPipeError as error:
                raise Broken(f"it has closed its standard input{self._ending()}") from error
            left = deadline - time.monotonic()
            if left <= 0:
                raise Broken(f"it took no input for {self._timeout:g} s")
            readable, _, _ = select.select(watched, [stream], [], left)
            if readable and not self._read():
                watched = []

    def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """The next message.

        Raises:
            Broken: none comes within the timeout, the output ends, or it is no message.
        """
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        self._fill(4, deadline)
        length = int.from_bytes(self._input[:4], "big")
        if length > MAX_MESSAGE:
            raise Broken(f"standard output has {bytes(self._input[:40])!r} where a message should start")
        self._fill(4 + length, deadline)
        body = bytes(self._input[4 : 4 + length])
        del self._input[: 4 + length]
        try:
            message = msgspec.msgpack.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Broken(f"standard output has {body[:40]!r}, which is no MessagePack: {error}") from error
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Broken(f"it sent {str(message)[:80]}, which is no map with a type")
        return message

    def end_input(self) -> None:
        """Close the worker's standard input."""
        self._process.stdin.close()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def rest(self) -> bytes:
        """What is left on standard output of a process that has ended."""
        while self._is_readable(0.0) and self._read():
            pass
        return bytes(self._input)

    def wait(self, limit: float) -> int:
        """Wait until the process and all that it started have ended; the exit status.

        Raises:
            Broken: something still runs after `limit` seconds.
        """
        deadline = time.monotonic() + limit
        status = self.wait_alone(limit)
        while (left := self._members()) and time.monotonic() < deadline:
            select.select([], [], [], _POLL_S)
        if left:
            raise Broken(f"it ended, but its child process {left[0]} still runs after {limit:g} s")
        return status

    def wait_alone(self, limit: float) -> int:
        """Wait until the process itself has ended; the exit status. Errors as `wait`."""
        deadline = time.monotonic() + limit
        while self._process.poll() is None and time.monotonic() < deadline:
            # Its output must not keep it from ending.
            if not (self._is_readable(_POLL_S) and self._read()):
                select.select([], [], [], _POLL_S)
        status = self._process.poll()
        if status is None:
            raise Broken(f"it still runs after {limit:g} s")
        return status

    def memory_bytes(self) -> int:
        """Resident memory of the process and all that it started."""
        pages = 0
        for pid in self._members():
            try:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue  # it has just ended
        return pages * os.sysconf("SC_PAGE_SIZE")

    def log(self) -> list[str]:
        """The lines on standard error so far, at most a mebibyte of them."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace").splitlines()

    def shrink_output(self) -> None:
        """Make the pipe of standard output as small as it can be."""
        fcntl.fcntl(self._process.stdout.fileno(), fcntl.F_SETPIPE_SZ, 4096)

    def kill(self) -> None:
        """End the process and all that it started, now."""
        deadline = time.monotonic() + self._timeout
        # Again while there is one, because a process may start another one before its end reaches it.
        while (members := self._members()) and time.monotonic() < deadline:
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
            select.select([], [], [], _END_POLL_S)
        self._process.wait(self._timeout)
        for stream in (self._process.stdin, self._process.stdout, self._log):
            stream.close()

    def _members(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                # After the name in brackets: state, parent, group, session.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self._process.pid and fields[0] not in "ZX":
                found.append(int(entry.name))
        return found

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._input) < size:
            if not self._is_readable(max(0.0, deadline - time.monotonic())):
                part = f" (only {len(self._input)} bytes of a message)" if self._input else ""
                raise Broken(f"no answer within {self._timeout:g} s{part}")
            if not self._read():
                raise Broken(f"its standard output ended{self._ending()}")

    def _is_readable(self, limit: float) -> bool:
        return bool(select.select([self._process.stdout.fileno()], [], [], limit)[0])

    def _read(self) -> bool:
        if self.is_slow:
            select.select([], [], [], _SLOW_PAUSE_S)
        data = os.read(self._process.stdout.fileno(), _SLOW_CHUNK if self.is_slow else _CHUNK)
        self._input += data
        return bool(data)

    def _ending(self) -> str:
        try:
            return f" (exit status {self._process.wait(1.0)})"
        except subprocess.TimeoutExpired:
            return ""
