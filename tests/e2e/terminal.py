# SPDX-License-Identifier: MPL-2.0
"""A terminal with a person at it: a tmux of its own, keys, and what stands on the screen."""

import shlex
import subprocess
import tempfile
from pathlib import Path

from running import wait_for


class Terminal:
    """Runs a program in a terminal; `code=N` stands on the screen when it has ended."""

    def __init__(self, *argv: object) -> None:
        # A socket's path must be short.
        self._folder = tempfile.TemporaryDirectory(prefix="tmux")
        self._socket = Path(self._folder.name) / "socket"
        command = shlex.join(map(str, argv))
        self._tmux("new-session", "-d", "-x", "150", "-y", "50", f"{command}; echo code=$?; exec cat")

    def _tmux(self, *words: str) -> str:
        argv = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        """Keys by their names: Enter, Escape, C-c."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Types a text and Enter."""
        self._tmux("send-keys", "-l", text)
        self.keys("Enter")

    def shows(self, text: str, seconds: float = 20.0) -> str:
        """Waits until that stands on the screen; the screen."""
        screens = [""]

        def look() -> bool:
            screens.append(self.screen)
            return text in screens[-1]

        try:
            wait_for(f"{text!r} on the screen", look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{screens[-1]}") from None
        return screens[-1]

    def choose(self, title: str, words: str) -> None:
        """Waits for a menu and takes the line with these words."""
        self.shows(f"? {title}")
        self._tmux("send-keys", "-l", words)
        self.shows(f"? {title} {words}")
        self.keys("Enter")

    def close(self) -> None:
        self._tmux("kill-server")
        self._folder.cleanup()
