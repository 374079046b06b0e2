# SPDX-License-Identifier: MPL-2.0
"""What a process holds, from /proc."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Held:
    """By a process, at a moment."""

    age_s: float
    resident_mib: float
    own_mib: float
    """Anonymous and resident: what it has asked for and uses. Files that it maps and shares do not count."""
    files: int
    threads: int
    cpu_s: float
    state: str
    """A letter, Z = it has ended and nobody has asked for its status."""


def held(pid: int) -> Held | None:
    """None = there is no such process, or it has just ended."""
    folder = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError, TypeError):
        status = (folder / "status").read_text()
        after = (folder / "stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        number = lambda key: int(re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE)[1])  # noqa: E731
        return Held(
            age_s=uptime - int(after[19]) / _TICKS,
            resident_mib=number("VmRSS") / 1024,
            own_mib=number("RssAnon") / 1024,
            files=len(os.listdir(folder / "fd")),
            threads=number("Threads"),
            cpu_s=(int(after[11]) + int(after[12])) / _TICKS,
            state=after[0],
        )
    return None


def left(session: int, pids: list[int]) -> list[int]:
    """Which of these processes are there, and all others of that session (not those that have ended)."""
    found = {pid for pid in pids if (now := held(pid)) and now.state != "Z"}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after = stat.read_text().rpartition(")")[2].split()
            if int(after[3]) == session and after[0] != "Z":
                found.add(int(stat.parent.name))
    return sorted(found)
