# SPDX-License-Identifier: MPL-2.0
"""Reads the blocks of code in the README and in all other pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("*.md", "docs/**/*.md", "pipelines/*.md", "models/*.md", "models/train/*.md", "fuzz/*.md")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = re.compile(r"<!-- (tested|not run|example): (.+?) -->\n\Z")


@dataclass(frozen=True)
class Block:
    """A block of code, and what is said of it in the line before."""

    page: str
    line: int
    language: str
    text: str
    mark: str
    """`tested`, `not run`, `example`, or empty."""
    said: str
    """A name that tests know, the reason, or the kind of message."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that people read."""
    return sorted({page for place in PLACES for page in ROOT.glob(place)})


def blocks() -> Iterator[Block]:
    """All of them, page by page."""
    for page in pages():
        text = page.read_text()
        for found in FENCE.finditer(text):
            mark = MARK.search(text[: found.start()])
            kind, said = mark.groups() if mark else ("", "")
            line = text.count("\n", 0, found.start()) + 1
            yield Block(str(page.relative_to(ROOT)), line, found[1], found[2].rstrip("\n"), kind, said)


def command(name: str, page: Path | None = None) -> str:
    """The text behind `<!-- tested: name -->`, on a certain page if one is named."""
    named = [block for block in blocks() if block.mark == "tested" and block.said == name]
    found = [block for block in named if page is None or ROOT / block.page == page.resolve()]
    assert len(found) == 1, f"{len(found)} blocks are called {name!r}"
    return found[0].text
