# SPDX-License-Identifier: MPL-2.0
"""What the machine is, and how many files it lets us open."""

import os
import platform
import re
import resource
import subprocess
from datetime import datetime, timezone
from pathlib import Path

# Sockets and pipes of one simulated connection, in the process that holds it.
_FILES_EACH = 3
# For everything else.
_FILES_MORE = 200


class TooFewFiles(Exception):
    """The limit of open files is too low; names it."""


def allow_files(connections: int) -> None:
    """Raises the limit of open files of this process and its children as far as that many connections need.

    Raises:
        TooFewFiles: It cannot be raised so far.
    """
    needed = _FILES_EACH * connections + _FILES_MORE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY,) and hard < needed:
        raise TooFewFiles(
            f"{connections:,} connections need up to {needed:,} open files, and {hard:,} are allowed "
            "(ulimit -H -n); raise that, or simulate fewer instances"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def describe() -> str:
    """Processor, system, versions and date, in one sentence."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    processor = found[1] if found else platform.machine()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    date = datetime.now(timezone.utc)
    return (
        f"{date:%Y-%m-%d}: {processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {_system()}, "
        f"{_mosquitto()}, Python {platform.python_version()}; instances, consumer and broker share it."
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _mosquitto() -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    try:
        said = subprocess.run(
            ["mosquitto", "-h"], capture_output=True, text=True, timeout=5, env={**os.environ, "PATH": path}
        )
    except (OSError, subprocess.TimeoutExpired):
        return "mosquitto of an unknown version"
    found = re.search(r"mosquitto version (\S+)", said.stdout + said.stderr)
    return f"mosquitto {found[1]}" if found else "mosquitto of an unknown version"
