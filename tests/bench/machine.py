# SPDX-License-Identifier: MPL-2.0
"""The machine that figures are from, in words."""

import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path


def describe(built: Path) -> str:
    """Processor, memory, load, versions, date."""
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 1024**2
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    packages = ("onnxruntime", "numpy", "opencv-python-headless", "paho-mqtt")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    lines = (
        f"Date: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC; load at the start (1, 5, 15 min): {load}",
        f"Machine: {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; {system()}",
        f"Versions: {first_line([built / 'orion-launch', '--version'])}, {commit()}, "
        f"{first_line(['gst-launch-1.0', '--gst-version'])}, Python {platform.python_version()}, {versions}",
    )
    return "\n".join(f"- {line}" for line in lines)


def processor() -> str:
    """Its name."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def system() -> str:
    """The distribution and the kernel."""
    found = re.search(r'PRETTY_NAME="?([^"\n]+)', Path("/etc/os-release").read_text())
    return f"{found[1] if found else platform.system()}, kernel {platform.release()}"


def commit() -> str:
    """What is checked out."""
    there = Path(__file__).parent
    short = first_line(["git", "-C", there, "rev-parse", "--short", "HEAD"])
    return f"commit {short}" if short else "no commit"


def first_line(argv: list[object]) -> str:
    """What a program says; empty if it cannot be run."""
    try:
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0] if done.returncode == 0 else ""
