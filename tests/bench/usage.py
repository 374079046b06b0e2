# SPDX-License-Identifier: MPL-2.0
"""What processes hold and use, as the kernel tells it in /proc."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from running import children

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a process and all below it hold at a moment."""

    cpu_s: float
    memory_mib: float
    """Proportional: what several processes share counts once. Others that share it make it go up and down."""
    own_mib: float
    """What they have asked for themselves and hold: only this shows whether something grows."""
    files: int
    threads: int


def usage(pid: int) -> Usage:
    """Of a process and all below it."""
    cpu = memory = own = files = threads = 0
    for process in [pid, *(child for child, _, _ in children(pid))]:
        folder = Path(f"/proc/{process}")
        with contextlib.suppress(OSError):
            after = (folder / "stat").read_text().rpartition(")")[2].split()
            cpu += int(after[11]) + int(after[12])
            threads += int(after[17])
            files += len(list((folder / "fd").iterdir()))
            rollup = (folder / "smaps_rollup").read_text()
            memory += int(re.search(r"Pss:\s+(\d+)", rollup)[1])
            own += int(re.search(r"Anonymous:\s+(\d+)", rollup)[1])
    return Usage(cpu / _TICKS, memory / 1024, own / 1024, files, threads)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all below it that live, s."""
    total = 0
    for process in [pid, *(child for child, _, _ in children(pid))]:
        with contextlib.suppress(OSError):
            after = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(after[11]) + int(after[12])
    return total / _TICKS


def thread_seconds(pid: int, name: str) -> float:
    """CPU time of the threads of a process with this name (15 letters of it count), s, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().rstrip("\n") == name[:15]:
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mib(pid: int) -> float:
    """Resident memory of one process, MiB, what it shares with others included."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def own_mib(pid: int) -> float:
    """Memory that one process has asked for itself and holds, MiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Anonymous:\s+(\d+)", rollup)[1]) / 1024
