# SPDX-License-Identifier: MPL-2.0
"""Plays the matrix of faults: `python tests/faults/run.py [--only NAME] [--repeat N] [--short]`.

Real parts on loopback, each scenario with a camera, a broker and a daemon of its own. Programs are those of
`cargo build`, or in the folder ORION_BUILT. Status 1 when any scenario fails.
"""

import argparse
import fnmatch
import os
import signal
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import broker
import camera
import machine
import paper
import sheet
import worker
from measure import Outcome, measure
from scenario import Scenario

FAMILIES = {"camera": camera, "broker": broker, "worker": worker, "machine": machine}

# So many at a time: each waits most of its time.
JOBS = 3


def chosen(only: list[str], short: bool) -> list[tuple[Scenario, str]]:
    """Scenarios and their families, by patterns of names."""
    every = [(one, family) for family, module in FAMILIES.items() for one in module.SCENARIOS]
    wanted = lambda name: not only or any(fnmatch.fnmatch(name, f"*{part}*") for part in only)  # noqa: E731
    return [(one, family) for one, family in every if wanted(one.name) and (one.short or not short)]


def play(scenarios: Iterable[tuple[Scenario, str]], jobs: int = JOBS) -> list[Outcome]:
    """All of them, some at a time; in the order of the table."""
    scenarios = list(scenarios)
    order = {one.name: number for number, (one, _) in enumerate(scenarios)}
    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(measure, one, family) for one, family in scenarios]
        outcomes = []
        for task in as_completed(tasks):
            outcomes.append(task.result())
            print(paper.line(outcomes[-1]), flush=True)
    return sorted(outcomes, key=lambda outcome: order[outcome.name])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="part of a name, or a pattern"
    )
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="so many times")
    parser.add_argument("--short", action="store_true", help="the short form, as in make test")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"so many at a time ({JOBS})")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the table into this file, between its marks"
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    given = parser.parse_args()
    scenarios = chosen(given.only, given.short)
    if given.list:
        for one, family in scenarios:
            print(f"{family:8} {one.name}: {one.injected}")
        return 0
    if not scenarios:
        parser.error("no scenario has such a name; --list shows them")
    os.environ.setdefault("ORION_MODEL_CACHE", "off")
    # A shell that runs this in the background has Ctrl-C ignored, which programs under test would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rounds = []
    for number in range(given.repeat):
        if given.repeat > 1:
            print(f"round {number + 1} of {given.repeat}")
        rounds.append(play(scenarios, given.jobs))
    failed = [outcome for outcomes in rounds for outcome in outcomes if outcome.problems]
    missing = {outcome.name for outcomes in rounds for outcome in outcomes if outcome.missing}
    if given.write:
        sheet.put(given.write, "faults", paper.page(rounds))
    print(f"{len(rounds)} x {len(scenarios)} scenarios, {len(failed)} failed, {len(missing)} not played")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
