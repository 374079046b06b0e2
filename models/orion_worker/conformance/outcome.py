# SPDX-License-Identifier: MPL-2.0
"""How a check came out."""

from dataclasses import dataclass

PASS, WARN, FAIL, SKIP = "pass", "warn", "FAIL", "skip"


class Skipped(Exception):
    """The check does not apply; the text says why."""


class Doubtful(Exception):
    """No rule is broken, but the text says what should be better."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Name of a check, one of `PASS`, `WARN`, `FAIL` and `SKIP`, and what was seen."""

    check: str
    result: str
    detail: str
