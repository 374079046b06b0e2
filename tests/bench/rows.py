# SPDX-License-Identifier: MPL-2.0
"""Lines of the benchmark's table: ours, the partner's, their ratio, and whether that is what was wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HEADINGS = ("bench", "what", "unit", "ours", "partner", "ratio", "target", "met")


@dataclass(frozen=True)
class Target:
    """A limit to the ratio, or to our own figure."""

    of: Literal["ratio", "ours"]
    sense: Literal["at least", "at most"]
    limit: float

    def is_met(self, row: "Row") -> bool:
        """Whether a row is within the limit; one without the figure is not."""
        value = row.ratio if self.of == "ratio" else row.ours
        if value is None or value != value:
            return False
        return value >= self.limit if self.sense == "at least" else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.sense == "at least" else "≤"
        return f"{'ratio' if self.of == 'ratio' else 'ours'} {sign} {figure(self.limit)}"


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    bench: str
    what: str
    unit: str
    ours: float | None
    partner: float | None = None
    ratio: float | None = None
    target: Target | None = None
    note: str = ""
    failed: bool = False
    when: str = ""
    """When it was measured."""
    disturbed: bool = False
    """Whether other programs were busy: then no verdict is worth anything."""

    @classmethod
    def failure(cls, bench: str, why: str) -> "Row":
        """A bench that gave no figures, and why."""
        lines = why.strip().splitlines() or ["no reason given"]
        return cls(bench, "FAILED", "", None, note=lines[0][:300], failed=True)

    @property
    def met(self) -> str:
        """Yes or no; nothing where there is no target, and ? where the machine was not ours."""
        if self.failed:
            return "failed"
        if self.target is None:
            return ""
        if self.disturbed:
            return "?"
        return "yes" if self.target.is_met(self) else "NO"

    def cells(self) -> tuple[str, ...]:
        """Texts under `HEADINGS`."""
        numbers = (figure(self.ours), figure(self.partner), figure(self.ratio, digits=3))
        target = str(self.target) if self.target else ""
        return (self.bench, self.what, self.unit, *numbers, target, self.met)


def figure(value: float | None, digits: int = 3) -> str:
    """A number with about so many digits that mean something; an empty text for none."""
    if value is None:
        return ""
    if value != value:
        return "nan"
    decimals = max(0, digits - len(str(int(abs(value)))))
    return f"{value:.{decimals}f}"


def as_text(rows: Sequence[Row]) -> str:
    """For a terminal."""
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[at]) for line in table) for at in range(len(HEADINGS))]
    lines = []
    for line, note in zip(table, ["note", *(row.note for row in rows)], strict=True):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        lines.append(f"{cells}  {note}".rstrip())
    return "\n".join(lines)


def as_markdown(rows: Sequence[Row], kept: Sequence[str] = ()) -> str:
    """For a page, with further lines that are ready."""
    lines = [(*HEADINGS, "note", "when"), ("---",) * (len(HEADINGS) + 2)]
    lines += [(*row.cells(), row.note, row.when) for row in rows]
    made = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([*made[:2], *sorted([*kept, *made[2:]], key=lambda line: line.split(" | ")[0])])


def lines_of(page: str, benches: Sequence[str]) -> list[str]:
    """The lines that these benches have on a page."""
    return [line for line in page.splitlines() if line.startswith(tuple(f"| {name} |" for name in benches))]
