# SPDX-License-Identifier: MPL-2.0
"""What is made of measurements: quantiles, what was lost or came twice, and a table."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


def quantile(values: Sequence[float], part: float) -> float | None:
    """The smallest value that at least that part of all reaches; none of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


@dataclass
class Tally:
    """Numbers of one instance as they came: which are missing, and how many came again."""

    next: int = 0
    missing: set[int] = field(default_factory=set)
    repeated: int = 0

    def add(self, number: int) -> None:
        """One more has come."""
        if number >= self.next:
            self.missing.update(range(self.next, number))
            self.next = number + 1
        elif number in self.missing:
            self.missing.remove(number)
        else:
            self.repeated += 1

    def lost(self, made: int) -> int:
        """How many of that many, from 0 on, have not come."""
        return len(self.missing) + max(0, made - self.next)


@dataclass
class Report:
    """Of one size of the fleet; what could not be measured is none."""

    instances: int
    rate_hz: float
    connections: int = 0
    start_s: float | None = None
    """From the first attempt to connect until all were there."""
    wanted_hz: float = 0.0
    published_hz: float = 0.0
    delivered_hz: float = 0.0
    bytes_hz: float = 0.0
    """Delivered."""
    broker_cpu: float | None = None
    """Of one core, 0..1 and more."""
    broker_mib: float | None = None
    latency_ms: tuple[float | None, float | None] = (None, None)
    """p50 and p99."""
    command_ms: tuple[float | None, float | None, float | None] = (None, None, None)
    """p50, p99 and the longest."""
    unanswered: int = 0
    outage_s: float | None = None
    back_s: tuple[float | None, float | None] = (None, None)
    """p50 and the longest."""
    lost: int = 0
    repeated: int = 0
    troubles: list[str] = field(default_factory=list)


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _several(values: Iterable[float | None], digits: int = 1) -> str:
    return " / ".join(_number(value, digits) for value in values)


def rows(report: Report) -> list[tuple[str, str]]:
    """What a report says, each with its name."""
    cpu = None if report.broker_cpu is None else 100 * report.broker_cpu
    return [
        ("instances", f"{report.instances:,}"),
        ("results a second, each", f"{report.rate_hz:g}"),
        ("connections at the broker", f"{report.connections:,}"),
        ("all connected at once: until all are there, s", _number(report.start_s, 2)),
        ("results published a second (wanted)", f"{report.published_hz:,.0f} ({report.wanted_hz:,.0f})"),
        ("messages delivered a second", _number(report.delivered_hz, 0)),
        ("delivered, kB/s", _number(report.bytes_hz / 1000, 0)),
        ("broker, % of a core", _number(cpu)),
        ("broker, memory, MiB", _number(report.broker_mib)),
        ("publication to consumer, ms, p50 / p99", _several(report.latency_ms)),
        ("command to all: answered, ms, p50 / p99 / max", _several(report.command_ms, 0)),
        ("not answered", f"{report.unanswered:,}"),
        ("broker away for, s", _number(report.outage_s)),
        ("then until an instance is back, s, p50 / max", _several(report.back_s, 2)),
        ("results lost", f"{report.lost:,}"),
        ("results that came twice", f"{report.repeated:,}"),
    ]


def table(reports: Sequence[Report]) -> str:
    """In Markdown, a column for each report."""
    if not reports:
        return ""
    columns = [[value for _name, value in rows(report)] for report in reports]
    names = [name for name, _value in rows(reports[0])]
    lines = [[name, *(column[line] for column in columns)] for line, name in enumerate(names)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    first, *others = widths
    text = [
        _line(lines[0], widths),
        "|".join(["", "-" * (first + 2), *("-" * (one + 1) + ":" for one in others), ""]),
    ]
    return "\n".join([*text, *(_line(line, widths) for line in lines[1:])])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    padded = [
        first.ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
    ]
    return f"| {' | '.join(padded)} |"
