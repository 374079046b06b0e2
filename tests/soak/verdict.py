# SPDX-License-Identifier: MPL-2.0
"""What is good and what is not: bounds, and findings in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slope import Life, Trend, trend

MEMORY_SHARE = 0.05
MEMORY_MIB = 1.0
LATENCY_SHARE = 0.25
LATENCY_MS = 10.0
COUNT = 2.0
SCATTERS = 3.0
SHORTEST_S = 1200.0
"""Slopes of memory and latency in a shorter run are those of its warming up; they are told, not judged."""

YOUNG_S = 30.0
"""A process is not looked at in the first seconds of its life."""

BOUNDS = (
    f"growth = slope x longest life; bounds:"
    f" memory max({MEMORY_MIB:g} MiB, {MEMORY_SHARE:.0%} of the level, {SCATTERS:g} x scatter),"
    f" descriptors and threads max({COUNT:g}, {SCATTERS:g} x scatter),"
    f" latency max({LATENCY_MS:g} ms, {LATENCY_SHARE:.0%} of the level, {SCATTERS:g} x scatter)"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool | None
    """None = not judged."""
    text: str

    @property
    def word(self) -> str:
        return {True: "ok", False: "FAIL", None: "--"}[self.good]


def grows(
    name: str, unit: str, lives: Sequence[Life], least: float, share: float, judged: bool = True
) -> Finding:
    """Whether values grow by more than `least`, than a share of their level, and than they scatter."""
    found = trend(lives)
    if found is None:
        return Finding(name, None, "no process lived long enough to tell")
    bound = max(least, share * found.level, SCATTERS * found.scatter)
    good = found.growth <= bound
    return Finding(name, good if judged else None, f"{_words(found, unit)}; bound {bound:.2f} {unit}")


def _words(found: Trend, unit: str) -> str:
    slope, low, high = (3600 * value for value in (found.slope, found.low, found.high))
    slope = f"slope {slope:+.2f} {unit}/h (95 %: {low:+.2f} to {high:+.2f})"
    level = f"level {found.level:.1f} {unit}, scatter {found.scatter:.2f}"
    return f"{slope}, {level}, growth {found.growth:+.2f} in {found.span:.0f} s, {found.points} looks"


def count(name: str, lives: Sequence[Life]) -> Finding:
    """Descriptors or threads: the first, the last, the most, and whether they grow."""
    found = grows(name, "", lives, COUNT, 0.0)
    values = [value for life in lives for _, value in life]
    if not values:
        return found
    text = f"first {values[0]:.0f}, last {values[-1]:.0f}, most {max(values):.0f}; {found.text}"
    return Finding(name, found.good, text)


def none(name: str, problems: Iterable[str], else_text: str) -> Finding:
    """Good while there is no problem."""
    problems = list(problems)
    some = "; ".join(problems[:5])
    return Finding(name, not problems, f"{len(problems)}: {some}" if problems else else_text)


def summary(findings: Sequence[Finding]) -> str:
    wide = max(len(finding.name) for finding in findings)
    return "\n".join(f"{finding.word:4} {finding.name:{wide}}  {finding.text}" for finding in findings)


def passed(findings: Sequence[Finding]) -> bool:
    return all(finding.good is not False for finding in findings)
