# SPDX-License-Identifier: MPL-2.0
"""Looks at everything every few seconds, and writes each look down at once."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import proc
from account import adds_up
from plant import Plant
from proc import Held


@dataclass(frozen=True)
class Look:
    """At one process."""

    at_s: float
    role: str
    """daemon, worker, broker, or other: a worker that starts or ends."""
    camera: str
    pid: int
    held: Held


@dataclass(frozen=True)
class Window:
    """Results of one camera since the look before."""

    at_s: float
    camera: str
    results: int
    p50_ms: float
    p99_ms: float


HELD = ["age_s", "resident_mib", "own_mib", "files", "threads", "cpu_s", "state"]
PROCESSES = ["at_s", "role", "camera", "pid", *HELD]
WINDOWS = ["at_s", "camera", "results", "p50_ms", "p99_ms"]
LEDGER = ["at_s", "camera", "element", "received", "forwarded", "in_flight", "dropped", "adds_up"]


class Table:
    """A CSV file that is whole after each row."""

    def __init__(self, file: Path, columns: list[str]) -> None:
        self._file = file.open("w", newline="", buffering=1)
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def write(self, *values: object) -> None:
        self._writer.writerow([f"{value:.3f}" if isinstance(value, float) else value for value in values])

    def close(self) -> None:
        self._file.close()


@dataclass
class Sampler:
    """All looks of a run."""

    plant: Plant
    out: Path
    looks: list[Look] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    losses: list[tuple[float, dict[str, dict[str, int]]]] = field(default_factory=list)
    """Told until then: by camera, by cause."""
    books: int = 0
    """Books that were looked at."""
    problems: list[str] = field(default_factory=list)
    _silent: int = 0
    _ended: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._processes = Table(self.out / "processes.csv", PROCESSES)
        self._latency = Table(self.out / "latency.csv", WINDOWS)
        self._ledger = Table(self.out / "ledger.csv", LEDGER)
        self._before: dict[tuple[str, str], int] = {}

    def take(self) -> None:
        """One look at everything."""
        at = self.plant.clock()
        # Before it is asked anything, as an answer takes a descriptor.
        daemon = proc.held(self.plant.daemon.pid)
        state = self._state(at)
        ended = set()
        for pid, (role, camera) in self.plant.processes(state).items():
            held = daemon if role == "daemon" else proc.held(pid)
            if held is None:
                # What has ended has no memory; it must not stay.
                continue
            if held.state == "Z":
                ended.add(pid)
                continue
            self.looks.append(Look(at, role, camera, pid, held))
            self._processes.write(at, role, camera, pid, *(getattr(held, name) for name in HELD))
        for pid in ended & self._ended:
            self.problems.append(f"{at:.0f} s: process {pid} has ended and is not waited for (zombie)")
        self._ended = ended
        for camera, latencies in sorted(self.plant.ear.latencies().items()):
            low, high = np.percentile(latencies, [50, 99])
            self.windows.append(Window(at, camera, len(latencies), float(low), float(high)))
            self._latency.write(at, camera, len(latencies), float(low), float(high))
        self.losses.append((at, self.plant.ear.lost()))

    def _state(self, at: float) -> dict[str, Any] | None:
        try:
            state = self.plant.state()
        except (OSError, ValueError) as error:
            self._silent += 1
            if self._silent == 2:
                self.problems.append(f"{at:.0f} s: /readyz does not answer twice in a row: {error}")
            return None
        self._silent = 0
        for camera in state["cameras"]:
            for book in camera["ledger"]:
                self._book(at, camera["instance_id"], book)
        return state

    def _book(self, at: float, camera: str, book: dict[str, Any]) -> None:
        self.books += 1
        good, element = adds_up(book), book["element"]
        dropped = json.dumps(book["dropped"])
        self._ledger.write(
            at, camera, element, book["received"], book["forwarded"], book["in_flight"], dropped, good
        )
        if not good:
            self.problems.append(f"{at:.0f} s: {camera}'s book of {element} does not add up: {book}")
        before = self._before.get((camera, element), 0)
        if book["received"] < before:
            self.problems.append(f"{at:.0f} s: {camera}'s book of {element} has fallen from {before}: {book}")
        self._before[camera, element] = book["received"]

    def line(self) -> str:
        """How it goes, for whoever watches."""
        daemon = next((look.held for look in reversed(self.looks) if look.role == "daemon"), None)
        newest = self.windows[-1].at_s if self.windows else 0
        last = [window for window in self.windows if window.at_s == newest]
        p50 = max((window.p50_ms for window in last), default=float("nan"))
        holds = "nothing"
        if daemon:
            holds = f"{daemon.own_mib:.1f} MiB own, {daemon.files} files, {daemon.threads} threads"
        results = f"{self.plant.ear.heard()} results, slowest camera's median {p50:.0f} ms"
        return f"{self.plant.clock():6.0f} s  daemon {holds}; {results}"

    def close(self) -> None:
        for table in (self._processes, self._latency, self._ledger):
            table.close()
