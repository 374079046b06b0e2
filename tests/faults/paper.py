# SPDX-License-Identifier: MPL-2.0
"""Outcomes as a line and as a table."""

from measure import Outcome


def seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def lost(outcome: Outcome) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in sorted(outcome.lost.items())) or "0"


def line(outcome: Outcome) -> str:
    if outcome.missing:
        return f"SKIP {outcome.name}: {outcome.missing}"
    verdict = "ok  " if outcome.passed else "FAIL"
    times = f"noticed {seconds(outcome.noticed_s)}, results {seconds(outcome.results_s)}, well {seconds(outcome.well_s)}"
    times += f", control {seconds(outcome.control_s)}"
    text = f"{verdict} {outcome.name}: {times}, lost {lost(outcome)} ({outcome.took_s:.0f} s) | {outcome.told[:150]}"
    return "\n     ".join([text, *outcome.problems])
