# SPDX-License-Identifier: MPL-2.0
"""RELIABILITY.md: parts between marks, each written by what measures it."""

import re
from pathlib import Path

HEAD = """# Reliability

What Orion does when something breaks, measured. `make prove` writes the part about faults, `make fuzz`,
`make soak` and `make races` write theirs with `WRITE=1`.
"""
PARTS = ("faults", "fuzz", "soak", "races")


def put(file: Path, name: str, text: str) -> None:
    """Puts a part, of `PARTS`, into the page; the other parts stay as they are."""
    old = file.read_text() if file.exists() else ""
    parts = {part: _part(old, part) for part in PARTS}
    parts[name] = text
    body = "".join(f"\n<!-- {part} -->\n{held}<!-- /{part} -->\n" for part, held in parts.items())
    file.write_text(HEAD + body)


def _part(text: str, name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    return found[1] if found else ""
