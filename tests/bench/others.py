# SPDX-License-Identifier: MPL-2.0
"""What others do on the machine while nothing of ours runs: it falsifies figures and stands beside them."""

import os
import time
from pathlib import Path

CALM_CORES = 0.15
"""As many cores at most are busy on a calm machine."""

_LOOK_S = 0.3
_PATIENCE_S = 6.0


class Others:
    """Waits for a calm moment, but not for long, and remembers what it found."""

    def __init__(self) -> None:
        self._seen: list[float] = []

    def settle(self) -> float:
        """Waits until the machine is calm, for `_PATIENCE_S` at most; the cores that are busy then."""
        end = time.monotonic() + _PATIENCE_S
        while (busy := busy_cores()) > CALM_CORES and time.monotonic() < end:
            pass
        self._seen.append(busy)
        return busy

    def look(self) -> None:
        """Remembers how many cores are busy now: for after a long run."""
        self._seen.append(busy_cores())

    def told(self) -> str:
        """What was found since the last time this was asked."""
        seen, self._seen = self._seen, []
        if not seen or max(seen) <= CALM_CORES:
            return ""
        return f"DISTURBED: others took up to {max(seen):.1f} cores between runs"


def busy_cores() -> float:
    """How many cores are busy now, ours among them."""
    before, start = _idle_s(), time.monotonic()
    time.sleep(_LOOK_S)
    took = time.monotonic() - start
    return max(0.0, (os.cpu_count() or 1) - (_idle_s() - before) / took)


def _idle_s() -> float:
    """Time in which cores had nothing to do, all of them together, waits for disks included."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
