# SPDX-License-Identifier: MPL-2.0
"""Runs the fuzz targets one after the other and prints what came of it; exit status 1 when one crashed.

`make fuzz` builds what is needed first. What a run finds grows in a folder under `target`, never in `corpus`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PYTHON = HERE / "python"
sys.path.append(str(ROOT / "tests" / "faults"))

import sheet  # noqa: E402  (needs the path above)

FOUND = HERE / "found.md"

# A single input may take so long, s, and a target so much memory, MiB.
SLOWEST, LARGEST = 10, 2048


@dataclass
class Outcome:
    """What came of one target; times in s, `edges` as libFuzzer counts them."""

    target: str
    executions: int
    seconds: float
    cpu_seconds: float
    edges: int
    crashes: list[str]
    log: str


def targets() -> list[str]:
    """Those in Rust, then those in Python as `python/NAME`."""
    rust = sorted(file.stem for file in (HERE / "fuzz_targets").glob("*.rs"))
    return rust + [f"python/{folder.name}" for folder in sorted((PYTHON / "corpus").iterdir())]


def program(target: str, arguments: argparse.Namespace) -> list[str]:
    """What runs a target, without libFuzzer's arguments."""
    if target.startswith("python/"):
        return [str(arguments.python), str(PYTHON / "fuzz.py"), target.removeprefix("python/")]
    (found,) = [*arguments.build.glob(f"*/release/{target}")] or [arguments.build / target]
    return [str(found)]


def seeds(target: str) -> Path:
    """The inputs that are kept."""
    name = target.removeprefix("python/")
    return (PYTHON if name != target else HERE) / "corpus" / name


def fuzz(target: str, arguments: argparse.Namespace) -> Outcome:
    """Runs a target for so many seconds, or until its first crash."""
    work = arguments.work / target.replace("/", "-")
    grown, found = work / "corpus", work / "crashes"
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    command = program(target, arguments)
    command += [f"-max_total_time={arguments.seconds}", f"-timeout={SLOWEST}", f"-rss_limit_mb={LARGEST}"]
    command += ["-print_final_stats=1", f"-artifact_prefix={found}/"]
    words = HERE / "words" / f"{target}.dict"
    command += [f"-dict={words}"] if words.is_file() else []
    command += [str(grown), str(seeds(target))]
    # Nothing of whoever runs this gets into a configuration.
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORION_")}
    start = time.monotonic()
    log = work / "log"
    with log.open("w") as output:
        started = subprocess.Popen(command, cwd=work, env=own, stdout=output, stderr=output)
        # What it alone has used, as others may run beside it.
        _, status, used = os.wait4(started.pid, 0)
    code = started.returncode = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    text = log.read_text(errors="replace")
    new = [str(file) for file in sorted(set(found.iterdir()) - before)]
    if code != 0 and not new:
        new = [f"exit status {code}, see {log}"]
    return Outcome(
        target=target,
        executions=max(
            map(int, re.findall(r"(?:stat::number_of_executed_units:\s+|^#)(\d+)", text, re.M)), default=0
        ),
        seconds=round(time.monotonic() - start, 1),
        cpu_seconds=round(cpu, 1),
        edges=max(map(int, re.findall(r"\bcov: (\d+)", text)), default=0),
        crashes=new,
        log=str(log),
    )


def table(outcomes: list[Outcome]) -> str:
    """What came of all of them."""
    rows = [("target", "executions", "seconds", "CPU s", "edges", "crashes")]
    rows += [
        (
            o.target,
            str(o.executions),
            f"{o.seconds:.0f}",
            f"{o.cpu_seconds:.0f}",
            str(o.edges),
            str(len(o.crashes)),
        )
        for o in outcomes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def page(outcomes: list[Outcome], when: str) -> str:
    """The part of RELIABILITY.md, in Markdown."""
    rows = "".join(
        f"| {o.target} | {o.executions:,} | {o.seconds / 60:.1f} | {o.cpu_seconds / 60:.1f} | {o.edges:,}"
        f" | {len(o.crashes)} |\n"
        for o in outcomes
    )
    return (
        "## Hostile input\n\nLast run of all targets of `make fuzz` (fuzz/README.md says what each is given),"
        f" ended {when}. What was found before is listed below the table.\n\n"
        "| target | executions | minutes | CPU minutes | edges | crashes |\n|---|---|---|---|---|---|\n"
        f"{rows}\n{FOUND.read_text()}"
    )


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--target", help="only this one, e.g. command or python/jpeg")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "target" / "fuzz", help="where cargo fuzz has built"
    )
    parser.add_argument("--python", type=Path, default=ROOT / "target" / "fuzz-venv" / "bin" / "python")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "fuzz-work", help="for what is found")
    parser.add_argument("--results", type=Path, default=ROOT / "target" / "fuzz-results.json")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time (default 1)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a part of this page, between its marks")
    arguments = parser.parse_args()
    known = targets()
    if arguments.target and arguments.target not in known:
        parser.error(f"--target: {arguments.target!r} is unknown, known are {', '.join(known)}")
    if arguments.seconds < 1 or arguments.jobs < 1:
        parser.error("--seconds, --jobs: expected at least 1")
    wanted = [arguments.target] if arguments.target else known
    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = []
        for outcome in pool.map(lambda target: fuzz(target, arguments), wanted):
            outcomes.append(outcome)
            print(f"{outcome.target}: {outcome.executions} executions", flush=True)
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    result = {
        "at": when,
        "seconds_each": arguments.seconds,
        "targets": [asdict(outcome) for outcome in outcomes],
    }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(result, indent=1) + "\n")
    print(table(outcomes), f"\nwritten to {arguments.results}")
    if arguments.write:
        sheet.put(arguments.write, "fuzz", page(outcomes, when))
    for outcome in outcomes:
        for crash in outcome.crashes:
            print(f"{outcome.target} crashed: {crash} (log: {outcome.log})", file=sys.stderr)
    return int(any(outcome.crashes for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
