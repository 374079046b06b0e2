# SPDX-License-Identifier: MPL-2.0
"""Plays the long forms of what looks for races, prints what came of it; exit status 1 if anything was found.

`python tests/races/run.py [--steps 1000] [--seeds 5] [--seed 1] [--write RELIABILITY.md]`
"""

import argparse
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "faults"))

import sheet  # noqa: E402

# The state machines; property tests of text take minutes under an interpreter.
MIRI = ["supervisor", "swap", "hand", "ledger", "reorder", "slots", "turns", "pace", "framing"]
ELEMENTS = ("orionroi", "orionpyinfer", "orionmqttsink")
NUMBERS = ("states", "refused", "flushes", "seeks", "caps", "properties", "frames", "longest", "live")
ELEMENT = re.compile(
    r"races: (?P<element>\w+) ORION_SEED=(?P<seed>\d+) ORION_STEPS=(?P<steps>\d+): (?P<states>\d+) states,"
    r" (?P<refused>\d+) refused, (?P<flushes>\d+) flushes, (?P<seeks>\d+) seeks, (?P<caps>\d+) caps,"
    r" (?P<properties>\d+) properties, (?P<frames>\d+) frames, (?P<longest>\d+) ms longest,"
    r" (?P<live>\d+) live objects, (?P<seconds>[\d.]+) s"
)
MODEL = re.compile(r"races: ([\w ]+): (\d+) states, (\d+) different, depth (\d+), ([\d.]+) s")
TEST = re.compile(r"test result: (\w+)\. (\d+) passed; (\d+) failed")
HEADER = (
    "| element | steps | seeds | state changes | of these refused | flushes | seeks | caps changes"
    " | properties set | frames | live objects at the end | longest wait, ms | seconds |"
)


def elements(said: str) -> list[str]:
    """A row for each element, in Markdown: sums over the seeds, but the most of live objects and waits."""
    runs: dict[str, list[re.Match[str]]] = {}
    for found in ELEMENT.finditer(said):
        runs.setdefault(found["element"], []).append(found)
    rows = []
    for name, found in sorted(runs.items()):
        all_of = {number: [int(run[number]) for run in found] for number in NUMBERS}
        sums = [sum(all_of[number]) for number in NUMBERS[:7]]
        seeds = [int(run["seed"]) for run in found]
        span = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        cells = [
            name,
            f"{sum(int(run['steps']) for run in found):,}",
            span,
            *(f"{number:,}" for number in sums),
        ]
        cells += [str(max(all_of["live"])), f"{max(all_of['longest']):,}"]
        rows.append(f"| {' | '.join(cells)} | {sum(float(run['seconds']) for run in found):.0f} |")
    return rows


def play(command: list[str], **variables: str) -> tuple[str, bool]:
    """What a command said, and whether it ended well; it is shown at once."""
    print("$", *[f"{name}={value}" for name, value in variables.items()], *command, flush=True)
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in started.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return "".join(lines), started.wait() == 0


def test(package: str, name: str, **variables: str) -> tuple[str, bool]:
    """A test file, one test after the other."""
    command = ["cargo", "test", "--locked", "--quiet", "--package", package, "--test", name]
    return play([*command, "--", "--nocapture", "--include-ignored", "--test-threads", "1"], **variables)


def has_miri() -> bool:
    """Whether there is a nightly compiler with the interpreter."""
    command = ["cargo", "+nightly", "miri", "--version"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def page(rows: list[str], models: str, interpreted: str | None, ok: bool, when: str) -> str:
    """The part of RELIABILITY.md, in Markdown."""
    orders = "".join(
        f"| {name} | {int(states):,} | {int(different):,} | {depth} | {float(took):.1f} |\n"
        for name, states, different, depth, took in MODEL.findall(models)
    )
    verdict = "nothing was found" if ok else "**something was found**"
    return (
        f"## Races\n\nLast run of `make races`, ended {when}: {verdict}.\n\n"
        "Random changes of state, flushes, seeks, caps, ends of stream, properties, commands and signals to"
        " workers, while frames are pushed. No step may take 30 s (all threads' stacks are printed then), the"
        " ledger adds up after each, an element starts unless it was given a value that it must refuse,"
        " frames flow in the end, and nothing is left: no object by GStreamer's `leaks` tracer, no"
        " descriptor, thread or process; any warning of GLib or GStreamer ends the run.\n\n"
        f"{HEADER}\n{'|---' * HEADER.count(' |')}|\n" + "".join(f"{row}\n" for row in rows) + "\n"
        "Model checking of supervisor, swap, frames in hand, order and ledger: all orders of events up to a"
        " bound (tests/machine.rs).\n\n"
        "| model | states | different | depth | seconds |\n|---|---|---|---|---|\n"
        f"{orders}" + (f"\n{interpreted}\n" if interpreted else "")
    )


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000, help="of each element and seed (default 1000)")
    parser.add_argument("--seeds", type=int, default=5, help="so many, one after the other (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (default 1)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a part of this page, between its marks")
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.seeds < 1 or arguments.seed < 0:
        parser.error("--steps, --seeds: expected at least 1; --seed: at least 0")
    start = time.monotonic()
    said, ok = test(
        "gst-orion",
        "races",
        ORION_STEPS=str(arguments.steps),
        ORION_SEED=str(arguments.seed),
        ORION_SEEDS=str(arguments.seeds),
    )
    rows = elements(said)
    models, kept = test("orion-core", "machine")
    ok = ok and kept and len(rows) == len(ELEMENTS)
    interpreted = None
    if has_miri():
        command = [
            "cargo",
            "+nightly",
            "miri",
            "test",
            "--locked",
            "--quiet",
            "--package",
            "orion-core",
            "--lib",
        ]
        filters = ["--", *[f"{name}::" for name in MIRI]]
        text, clean = play([*command, *filters], MIRIFLAGS="-Zmiri-disable-isolation", PROPTEST_CASES="4")
        passed = sum(int(count) for _, count, _ in TEST.findall(text))
        interpreted = (
            f"{passed} unit tests of orion-core under Miri, the interpreter that finds undefined behaviour."
        )
        ok = ok and clean
    else:
        print("Miri is not there, so it is left out: rustup component add --toolchain nightly miri rust-src")
    print(HEADER, *rows, sep="\n")
    print(f"{'nothing was found' if ok else 'something was found'}, {time.monotonic() - start:.0f} s")
    if arguments.write:
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        sheet.put(arguments.write, "races", page(rows, models, interpreted, ok, when))
    return int(not ok)


if __name__ == "__main__":
    sys.exit(main())
