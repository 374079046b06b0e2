# SPDX-License-Identifier: MPL-2.0
"""orion-config as scripts call it, and how it ends."""

import os
import re
import subprocess

from running import BUILT

PROGRAM = BUILT / "orion-config"


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ORION_")}


def call(*words: object, stdin: str = "", **env: str) -> subprocess.CompletedProcess:
    argv = [str(PROGRAM), *map(str, words)]
    return subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=60, env={**environment(), **env}
    )


def done(ended: subprocess.CompletedProcess) -> str:
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


def told(ended: subprocess.CompletedProcess, code: int) -> str:
    """How it failed: one line on standard error, nothing on standard output."""
    assert ended.returncode == code and ended.stdout == "", ended
    assert "panicked" not in ended.stderr
    if code != 2:
        assert re.fullmatch(r"orion-config: [^\n]+\n", ended.stderr), ended.stderr
    return ended.stderr
