# SPDX-License-Identifier: MPL-2.0
"""A PostgreSQL of a test's own: in a folder, on a loopback port."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pg8000.exceptions
import pg8000.native
import pytest
from mqtt import free_port
from running import wait_for

# PostgreSQL does not run as root.
_USER = "nobody"
_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")


def programs() -> Path:
    """Where its programs are; the test is skipped without them."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name))
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    if not places:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    return places[-1]


def _user() -> str | None:
    return _USER if os.geteuid() == 0 else None


class Postgres:
    """Started at once."""

    def __init__(self, folder: Path) -> None:
        self._bin, self.port, self._log = programs(), free_port(), folder / "postgres.log"
        self._data = folder / "postgres"
        self._data.mkdir(mode=0o700)
        if _user():
            shutil.chown(self._data, _USER)
            for parent in self._data.parents:
                # The user of the database has to get there.
                if parent.stat().st_uid == 0 and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        words = ["-D", self._data, "-U", "orion", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"]
        self._run("initdb", *words).wait(60)
        self.start()

    @property
    def address(self) -> str:
        return f"postgresql://orion@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        settings = [word for one in _SETTINGS for word in ("-c", one)]
        self._process = self._run("postgres", "-D", self._data, "-p", self.port, *settings)
        wait_for("PostgreSQL", self._answers)

    def stop(self) -> None:
        """As a crash would; nothing of it is left."""
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def ask(self, query: str) -> list[list[Any]]:
        connection = pg8000.native.Connection("orion", "127.0.0.1", "postgres", self.port, timeout=10)
        try:
            return connection.run(query)
        finally:
            connection.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.ask("SELECT true") == [[True]]
        except (pg8000.exceptions.Error, OSError):
            return False

    def _run(self, program: str, *words: object) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(self._bin / program), *map(str, words)],
                user=_user(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
