# SPDX-License-Identifier: MPL-2.0
"""Reads the commands that the README promises to work."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def command(name: str) -> str:
    """The shell text behind `<!-- tested: name -->`."""
    pattern = rf"<!-- tested: {re.escape(name)} -->\n```sh\n(.*?)\n```"
    found = re.search(pattern, README.read_text(), re.DOTALL)
    assert found, f"README.md has no tested command {name!r}"
    return found[1]
