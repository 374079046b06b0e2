# SPDX-License-Identifier: MPL-2.0
"""Reads the commands that the README and the pages in docs promise to work."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def command(name: str, page: Path = README) -> str:
    """The shell text behind `<!-- tested: name -->`."""
    pattern = rf"<!-- tested: {re.escape(name)} -->\n```sh\n(.*?)\n```"
    found = re.search(pattern, page.read_text(), re.DOTALL)
    assert found, f"{page.name} has no tested command {name!r}"
    return found[1]
