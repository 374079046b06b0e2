# SPDX-License-Identifier: MPL-2.0
"""All of it runs for hours while things go wrong: `python tests/soak/soak.py [--hours 1] [--fault-every 60]`.

Real parts on loopback: cameras, mosquitto, the daemon with its workers, proxies before cameras and broker.
At random times, about one a minute, something happens to one of them (strikes.py). Every ten seconds it is
written down what each process holds, how long results take, and what the books say.

Status 1 when anything grows, a result is lost without a cause, a book does not add up, all is not well again
in time, or a process is left. Ctrl-C ends it early, with a report of what there was until then.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(ROOT / "tests" / "e2e"), str(ROOT / "tests" / "faults")]

import plant as planting  # noqa: E402  (these need the path above)
import report  # noqa: E402
import sheet  # noqa: E402
import strikes as striking  # noqa: E402
import verdict  # noqa: E402
from account import Losses  # noqa: E402
from plan import Strike, plan  # noqa: E402
from plant import Plant  # noqa: E402
from running import BUILT  # noqa: E402
from sampler import Sampler  # noqa: E402
from verdict import Finding  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    data = Path(os.environ.get("ORION_TEST_DATA") or ROOT.parent / "shared" / "data")
    out = Path("target") / "soak" / time.strftime("%Y%m%d-%H%M%S")

    def option(name: str, default: object, words: str) -> None:
        parser.add_argument(name, type=type(default), default=default, help=f"{words}; default: %(default)s")

    option("--hours", 1.0, "how long")
    option("--fault-every", 60.0, "seconds from one fault to the next, about; 0 = none")
    option("--sample-every", 10.0, "seconds from one look to the next")
    option("--cameras", 3, "of which the last one is spared: what happens to the others must not reach it")
    option("--fps", 8, "of the cameras")
    option("--rate", 1.5, "looks a second at each camera, at first")
    option("--seed", random.SystemRandom().randrange(1 << 31), "of the faults")
    option("--data", data, "folder with models and clips; without the model: motion")
    option("--out", out, "folder for what was measured")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="also a part of this page, between its marks"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="KIND", help="only faults of this kind"
    )
    given = parser.parse_args()
    if given.hours <= 0 or given.sample_every <= 0 or given.fault_every < 0 or given.cameras < 1:
        parser.error("--hours, --sample-every, --cameras: more than 0; --fault-every: not less than 0")
    if unknown := set(given.only) - set(striking.KINDS):
        parser.error(f"--only: no kind {', '.join(sorted(unknown))}; there are: {', '.join(striking.KINDS)}")
    return given


def main() -> int:
    given = arguments()
    if what := planting.missing():
        print(what, file=sys.stderr)
        return 2
    os.environ.setdefault("ORION_MODEL_CACHE", "off")
    given.out.mkdir(parents=True, exist_ok=True)
    print(f"seed {given.seed}, {given.hours:g} h, programs of {BUILT}, writes to {given.out}", flush=True)
    over = threading.Event()
    # Programs under test must not inherit that Ctrl-C is ignored, as in the background of a shell.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with tempfile.TemporaryDirectory(prefix="orion-soak-") as folder:
        try:
            plant = Plant(Path(folder), given.out, given.data, given.cameras, given.fps, given.rate)
        except AssertionError as error:
            print(f"it does not start: {error}", file=sys.stderr)
            return 1
        with contextlib.closing(plant):
            return run(given, plant, over)


def run(given: argparse.Namespace, plant: Plant, over: threading.Event) -> int:
    struck = plant.names[:-1] or plant.names
    kinds = given.only or list(striking.KINDS)
    start, seconds = plant.clock(), given.hours * 3600
    every = given.fault_every or 2 * seconds
    planned = plan(given.seed, seconds, every, kinds, struck) if given.fault_every else []
    for one in planned:
        one.at_s += start
    done: list[Strike] = []
    sampler = Sampler(plant, given.out)
    thread = threading.Thread(target=strike_all, args=(plant, planned, done), daemon=True)
    thread.start()
    problems, told, number = [], 0.0, 0
    while plant.clock() < start + seconds and not over.is_set():
        sampler.take()
        if not plant.daemon.is_running():
            problems.append(f"{plant.clock():.0f} s: the daemon has ended with status {plant.daemon.wait(1)}")
            break
        if plant.clock() >= told + 60:
            told = plant.clock()
            print(sampler.line(), flush=True)
        number += 1
        over.wait(max(0.0, start + number * given.sample_every - plant.clock()))
    took = plant.clock() - start
    plant.over.set()
    thread.join(120)
    if thread.is_alive():
        problems.append("what happened last has not come to its end within 120 s")
    findings, closed = end(plant, sampler, problems, done, took)
    built = BUILT.relative_to(ROOT) if BUILT.is_relative_to(ROOT) else BUILT
    detector = "yoloxn" if "model_dir" in plant.detector else "motion"
    head = (
        f"soak of {took / 3600:.2f} h, seed {given.seed}, {len(plant.names)} cameras of {given.fps} fps,"
        f" {given.rate:g} looks/s, {len(done)} faults\n"
        f"detector {detector}, programs of {built}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    measured = (sampler.looks, sampler.windows, sampler.losses)
    text = report.write(given.out, head, findings, done, closed, *measured)
    print(text, flush=True)
    if given.write:
        sheet.put(given.write, "soak", report.page(head, findings, time.strftime("%Y-%m-%d", time.gmtime())))
    return 0 if verdict.passed(findings) else 1


def strike_all(plant: Plant, planned: Sequence[Strike], done: list[Strike]) -> None:
    for one in striking.play(plant, list(planned)):
        done.append(one)
        after = f"well after {one.well_s:.1f} s" if one.well_s is not None else f"PROBLEM {one.problem}"
        print(f"{one.began_s:6.0f} s  {one.kind} ({one.camera}): {one.did}; {after}", flush=True)


def end(
    plant: Plant, sampler: Sampler, problems: list[str], done: list[Strike], took: float
) -> tuple[list[Finding], dict[str, Losses]]:
    """Stops it in order, and holds everything against what must be true; findings, and accounts by camera."""
    closed: dict[str, Losses] = {}
    findings = report.growth(sampler.looks, sampler.windows, took)
    if plant.daemon.is_running():
        try:
            plant.wait_well("all well at the end", striking.WELL_S)
            sampler.take()
            last = plant.stop()
            if last["status"]:
                problems.append(f"the daemon's status at the end is {last['status']}")
            if last["left"]:
                problems.append(f"processes are left: {last['left']}")
            accounts, closed = report.losses(plant.ear.accounts, last["books"])
            findings += accounts
        except (AssertionError, KeyError) as error:
            problems.append(f"the end: {type(error).__name__}: {error}")
    sampler.close()
    (plant.ear.file.parent / "daemon.log").write_text("\n".join(plant.daemon.lines) + "\n")
    findings += report.faults(done)
    books, heard = f"{sampler.books} looked at, all add up", f"{plant.ear.heard()} results, all as it says"
    findings.append(verdict.none("books during the run", sampler.problems, books))
    findings.append(verdict.none("messages against the contract", plant.ear.violations, heard))
    findings.append(report.log(plant.daemon.lines))
    findings.append(verdict.none("stop", problems, "in order, status 0, no process left"))
    return findings, closed


if __name__ == "__main__":
    sys.exit(main())
