# SPDX-License-Identifier: MPL-2.0
"""Plays the long forms of what looks for races; exit status 1 when something was found.

`python tests/races/run.py [--steps 1000] [--seed N] [--write RELIABILITY.md]`
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

ELEMENT = re.compile(r"races: (\w+) ORION_SEED=(\d+) ORION_STEPS=(\d+): (\d+) frames, ([\d.]+) s")
MODEL = re.compile(r"races: ([\w ]+): (\d+) states, (\d+) different, depth (\d+), ([\d.]+) s")
TEST = re.compile(r"test result: (\w+)\. (\d+) passed; (\d+) failed")
# Of these, the ones that neither read files nor take minutes under an interpreter.
MIRI = ["supervisor", "swap", "hand", "ledger", "reorder", "slots", "turns", "pace", "framing"]


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


def page(said: str, interpreted: str | None, ok: bool, when: str) -> str:
    """The part of RELIABILITY.md, in Markdown."""
    elements = "".join(
        f"| {name} | {seed} | {int(steps):,} | {int(frames):,} | {float(took):.1f} |\n"
        for name, seed, steps, frames, took in ELEMENT.findall(said)
    )
    models = "".join(
        f"| {name} | {int(states):,} | {int(different):,} | {depth} | {float(took):.1f} |\n"
        for name, states, different, depth, took in MODEL.findall(said)
    )
    verdict = "nothing was found" if ok else "**something was found**"
    return (
        f"## Races\n\nLast run of `make races`, ended {when}: {verdict}.\n\n"
        "Random changes of state, flushes, seeks, caps, ends of stream, properties, commands and signals to"
        " workers, from a seed (`SEED=... make races` repeats one). No step may take 30 s, the ledger adds up"
        " after each, frames flow in the end, and nothing is left: no object by GStreamer's `leaks` tracer, no"
        " descriptor, thread or process; any warning of GLib or GStreamer ends the run.\n\n"
        "| element | seed | steps | frames | seconds |\n|---|---|---|---|---|\n"
        f"{elements}\n"
        "Model checking of supervisor, swap, frames in hand, order and ledger: all orders of events up to a"
        " bound (tests/machine.rs).\n\n"
        "| model | states | different | depth | seconds |\n|---|---|---|---|---|\n"
        f"{models}\n" + (f"{interpreted}\n" if interpreted else "")
    )


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000, help="of each element (default 1000)")
    parser.add_argument("--seed", type=int, help="for all elements; default: others each time")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a part of this page, between its marks")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("--steps: expected at least 1")
    seed = {} if arguments.seed is None else {"ORION_SEED": str(arguments.seed)}
    start = time.monotonic()
    said, ok = test("gst-orion", "races", ORION_STEPS=str(arguments.steps), **seed)
    models, kept = test("orion-core", "machine", ORION_DEEP="1")
    ok = ok and kept
    interpreted = None
    if has_miri():
        command = "cargo +nightly miri test --locked --quiet --package orion-core --lib --".split()
        command += [f"{name}::" for name in MIRI]
        text, clean = play(command, MIRIFLAGS="-Zmiri-disable-isolation")
        passed = sum(int(count) for _, count, _ in TEST.findall(text))
        interpreted = f"{passed} unit tests of orion-core under Miri, which finds undefined behaviour."
        ok = ok and clean
    else:
        print("Miri is not there, so it is left out: rustup component add --toolchain nightly miri rust-src")
    print(f"{'nothing was found' if ok else 'something was found'}, {time.monotonic() - start:.0f} s")
    if arguments.write:
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        sheet.put(arguments.write, "races", page(said + models, interpreted, ok, when))
    return int(not ok)


if __name__ == "__main__":
    sys.exit(main())
