# SPDX-License-Identifier: MPL-2.0
"""Outcomes for people and for programs, each as soon as it is known."""

import json
import sys
from collections.abc import Sequence

from orion_worker.conformance.checks import CHECKS
from orion_worker.conformance.outcome import FAIL, PASS, SKIP, WARN, Outcome

_NAME_WIDTH = max(len(check.name) for check in CHECKS)
_RESULTS = (PASS, WARN, FAIL, SKIP)


class Table:
    """Prints one line for each outcome, and a last one with the sum.

    Args:
        command: the worker's, for the first or the last line.
        as_json: one JSON object a line instead of columns.
    """

    def __init__(self, command: Sequence[str], as_json: bool):
        self._command, self._as_json = list(command), as_json
        self._counts = dict.fromkeys(_RESULTS, 0)
        if not as_json:
            _say(f"worker: {' '.join(command)}")
            _say(f"{'check':{_NAME_WIDTH}}  result  detail")

    def add(self, outcome: Outcome) -> None:
        """Print an outcome."""
        self._counts[outcome.result] += 1
        if self._as_json:
            line = {"check": outcome.check, "result": outcome.result.lower(), "detail": outcome.detail}
            _say(json.dumps(line))
        else:
            _say(f"{outcome.check:{_NAME_WIDTH}}  {outcome.result:6}  {outcome.detail}")

    def finish(self, seconds: float) -> int:
        """Print the sum; the exit status: 0 without a failure, else 1."""
        if self._as_json:
            counts = {name.lower(): count for name, count in self._counts.items()}
            _say(json.dumps({"command": self._command, "seconds": round(seconds, 3), **counts}))
        else:
            sums = ", ".join(f"{count} {name}" for name, count in self._counts.items() if count)
            _say(f"{sums} in {seconds:.1f} s")
        return 1 if self._counts[FAIL] else 0


def _say(line: str) -> None:
    # Neither a terminal's encoding nor a line break in an answer must spoil the table.
    encoding = sys.stdout.encoding or "utf-8"
    safe = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    print(safe.encode(encoding, "backslashreplace").decode(encoding), flush=True)
