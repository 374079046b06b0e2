# SPDX-License-Identifier: MPL-2.0
"""Outcomes as lines, and as a page for users."""

import os
import platform
import re
from datetime import datetime, timezone
from pathlib import Path

from measure import Outcome
from running import BUILT

COLUMNS = ("noticed", "results", "well", "control", "lost")
_TOLD = 170


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def lost(outcome: Outcome) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in sorted(outcome.lost.items())) or "0"


def line(outcome: Outcome) -> str:
    """For whoever watches."""
    if outcome.missing:
        return f"SKIP {outcome.name}: {outcome.missing}"
    verdict = "ok  " if outcome.passed else "FAIL"
    times = f"noticed {seconds(outcome.noticed_s)}, results {seconds(outcome.results_s)}"
    times += f", well {seconds(outcome.well_s)}, control {seconds(outcome.control_s)}"
    text = f"{verdict} {outcome.name}: {times}, lost {lost(outcome)} ({outcome.took_s:.0f} s)"
    text += f" | {outcome.told[:150]}"
    return "\n     ".join([text, *outcome.problems])


def page(rounds: list[list[Outcome]]) -> str:
    """The part about faults, in Markdown."""
    every = [outcome for outcomes in rounds for outcome in outcomes]
    played = [outcome for outcome in every if not outcome.missing]
    passed = sum(outcome.passed for outcome in played)
    names = list(dict.fromkeys(outcome.name for outcome in every))
    text = f"""## Faults

{len(names)} scenarios, {len(rounds)} times each: {passed} of {len(played)} passed. {_where()}

Each has a camera (RTSP, H.264, 320x240, 15 frames a second), a broker (mosquitto) and a daemon of its own,
and a TCP proxy before the camera and before the broker. Results come 8 times a second. Short times are
configured: a stream is lost after 1 s, a picture is frozen after 3 s, evidence is too old after 3 s, a
worker may take 1 s for a frame, keep-alive is 2 s. Checked in each: every ledger adds up, and with what was
heard; no result is missing that nobody was told of; no zombie and no process is left; never `absent` while
somebody is there or nobody looks; commands are answered; all messages are as their schemas say. `python
tests/faults/run.py --list` names the scenarios, `--only NAME` plays one.

Times are seconds, the longest of all rounds: *noticed* from the fault until it was told, *results* from the
end of the fault to the first result of a new picture, *well* until presence is known and `/readyz` says
healthy, *control* until a command was answered (asked for after *well*). *Lost*: frames by cause, the most
of all rounds; `queue_full` is a newer frame that was taken instead.

Not told: a sensor that freezes before an encoder of varying quality (constant bit rate, for one). Its
pictures differ from one another as those of an empty room do; only pictures that differ by less than a
twentieth of a grey level in the mean count as frozen.
"""
    family = ""
    for name in names:
        same = [outcome for outcome in every if outcome.name == name]
        if same[0].family != family:
            family = same[0].family
            text += f"\n### The {family}\n\n"
            text += f"| fault | what was done | what the user was told | {' | '.join(COLUMNS)} |\n"
            text += "|---|---|---|---|---|---|---|---|\n"
        text += _row(same)
    return text


def _row(same: list[Outcome]) -> str:
    played = [outcome for outcome in same if not outcome.missing]
    if not played:
        return f"| {same[0].name} | {same[0].injected} | not played: {same[0].missing} | | | | | |\n"
    failed = [outcome for outcome in played if not outcome.passed]
    name = same[0].name + (f" **failed {len(failed)} of {len(played)}**" if failed else "")
    shown = min(played, key=lambda outcome: (not outcome.told, outcome.name))
    most: dict[str, int] = {}
    for outcome in played:
        for cause, count in outcome.lost.items():
            most[cause] = max(count, most.get(cause, 0))
    times = []
    for field in ("noticed_s", "results_s", "well_s", "control_s"):
        known = [value for outcome in played if (value := getattr(outcome, field)) is not None]
        times.append(seconds(max(known, default=None)))
    losses = ", ".join(f"{cause} {count}" for cause, count in sorted(most.items())) or "0"
    cells = [name, same[0].injected, _words(shown.told), *times, losses]
    return f"| {' | '.join(cells)} |\n"


def _words(told: str) -> str:
    """Without what is another one each time."""
    plain = re.sub(r"\S*/orion-fault-[^/\s]+", "…", told)
    plain = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", plain)
    plain = re.sub(r"[^\x20-\x7e…]", "?", plain).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return plain if len(plain) <= _TOLD else plain[:_TOLD].rsplit(" ", 1)[0] + " …"


def _where() -> str:
    models = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    cpu = models[0].strip() if models else platform.machine()
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    today = datetime.now(timezone.utc).date()
    return f"{today}, {os.cpu_count()} x {cpu}, {system}, {BUILT.name} build."
