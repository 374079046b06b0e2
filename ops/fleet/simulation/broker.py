# SPDX-License-Identifier: MPL-2.0
"""A mosquitto of the simulation's own, with the shipped configuration, and what it uses."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "mosquitto.conf"
# What depends on where it runs.
_PLACE = ("listener", "allow_anonymous", "password_file", "acl_file", "persistence_location", "log_", "user")
_START_S = 20.0
_STOP_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


class BrokerError(Exception):
    """It cannot be started; says why."""


@dataclass(frozen=True)
class Usage:
    """At a moment."""

    at: float
    cpu_s: float
    mib: float


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def settings(text: str) -> str:
    """The lines of a configuration that say how the broker works, not where."""
    return "".join(f"{line}\n" for line in text.splitlines() if not line.strip().startswith(_PLACE))


class Broker:
    """On a loopback port; it can be stopped and started again."""

    def __init__(self) -> None:
        self.address = ("127.0.0.1", free_port())
        self._folder = tempfile.TemporaryDirectory(prefix="orion-fleet-")
        folder = Path(self._folder.name)
        here = f"listener {self.address[1]} {self.address[0]}\nallow_anonymous true\n"
        here += f"persistence_location {folder}/\nlog_type error\nlog_type warning\n"
        if os.geteuid() == 0:
            # It would become a user who may not write there.
            here += "user root\n"
        self._config = folder / "mosquitto.conf"
        self._config.write_text(here + settings(SHIPPED.read_text()))
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Gives the moment (`time.monotonic()`) when it let somebody in.

        Raises:
            BrokerError: There is none, or it does not start.
        """
        binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise BrokerError("mosquitto is not installed; make setup installs it")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary, "-c", str(self._config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(self.address) == 0:
                    return time.monotonic()
            time.sleep(0.005)
        said = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        self.stop()
        raise BrokerError("mosquitto does not start: " + "; ".join(said or ["it says nothing"]))

    def stop(self) -> None:
        """Asks it to end, and waits; what it keeps is on the disk then."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def usage(self) -> Usage:
        """What it has used so far, and holds."""
        proc = Path(f"/proc/{self._process.pid}")
        after = (proc / "stat").read_text().rpartition(")")[2].split()
        pages = int((proc / "statm").read_text().split()[1])
        cpu = (int(after[11]) + int(after[12])) / _TICKS
        return Usage(time.monotonic(), cpu, pages * os.sysconf("SC_PAGE_SIZE") / 1024**2)

    def connections(self) -> int:
        """Sockets that it holds, those that it listens on included."""
        held = 0
        for descriptor in Path(f"/proc/{self._process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                held += os.readlink(descriptor).startswith("socket:")
        return held

    def close(self) -> None:
        """Ends it and removes what it has left."""
        self.stop()
        self._folder.cleanup()
