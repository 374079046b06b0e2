# SPDX-License-Identifier: MPL-2.0
"""Programs that run beside a test: their output line by line, waits that end, and no process left."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = Path(os.environ.get("ORION_BUILT") or ROOT / "target" / "debug")
"""Where the programs under test are."""


def wait_for(what: str, condition: Callable[[], object], seconds: float = 30.0) -> object:
    """Waits for something that another process brings about; its value, once it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        threading.Event().wait(0.02)
    return value


class Program:
    """A program in a process group of its own, which is killed at the end of the test."""

    def __init__(
        self, argv: list[str], env: Mapping[str, str] | None = None, shell: str | None = None
    ) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            # The program takes the shell's place, so that signals and its status are its own.
            f"exec {shell}" if shell is not None else [str(word) for word in argv],
            shell=shell is not None,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        with self._news:
            return "\n".join(self.lines)

    def wait_for_line(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """The first match of a regular expression in any line, past or to come."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found.extend(filter(None, (re.search(pattern, line) for line in self.lines)))
            return bool(found) or self._process.poll() is not None

        with self._news:
            self._news.wait_for(look, seconds)
        if not found:
            self._reader.join(1)
            found.extend(filter(None, (re.search(pattern, line) for line in self.lines)))
        assert found, f"no line like {pattern!r} in:\n{self.output}"
        return found[0]

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """The exit status; the program must end within that time."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None
        self._reader.join(2)
        return status

    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the whole group, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._process.stdin.close()
        self._reader.join(2)


def children(pid: int) -> list[tuple[int, str, str]]:
    """All descendants of a process: pid, state (Z is a zombie) and command line."""
    parents: dict[int, list[tuple[int, str, str]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after = stat.read_text().rpartition(")")[2].split()
            command = (
                (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            )
            parents.setdefault(int(after[1]), []).append((int(stat.parent.name), after[0], command))
    found: list[tuple[int, str, str]] = []
    queue = [pid]
    while queue:
        for child in parents.get(queue.pop(), []):
            found.append(child)
            queue.append(child[0])
    return found


def workers(pid: int) -> list[int]:
    """The worker processes below a process."""
    return [
        child for child, state, command in children(pid) if "person_detector.py" in command and state != "Z"
    ]


def zombies(pid: int) -> list[tuple[int, str, str]]:
    """Processes below a process that have ended and that nobody has waited for."""
    return [child for child in children(pid) if child[1] == "Z"]
