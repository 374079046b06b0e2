# SPDX-License-Identifier: MPL-2.0
"""Command line of `python -m orion_worker check`."""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orion_worker.conformance.bench import Bench
from orion_worker.conformance.checks import CHECKS, run_all
from orion_worker.conformance.interrupts import leave_on_signals
from orion_worker.conformance.table import Table

_DESCRIPTION = """\
Play the host against a worker, in any language, and say which rules of Orion's protocol 1 it keeps.

  python -m orion_worker check my_worker.py               a Python file, run with this Python
  python -m orion_worker check my_worker.py -- --flag 1   the same with arguments of its own
  python -m orion_worker check -- ./worker --flag 1       any other command
"""

_EPILOG = """\
A row is pass, FAIL, skip (does not apply) or warn (allowed, but should be better).
Exit status: 0 nothing failed, 1 a check failed, 2 wrong usage or the program cannot be started.

Checks: """


class _Usage(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise _Usage(message)


def main(arguments: Sequence[str]) -> int:
    """Check the worker that the command line names; returns the exit status."""
    before, dashes, after = _split(arguments)
    try:
        options = _parser().parse_args(before)
        command = _command(options.worker, after, bool(dashes))
    except _Usage as error:
        print(f"[ERROR] {error} (see check --help)", file=sys.stderr)
        return 2
    start = time.monotonic()
    try:
        with leave_on_signals(), Bench(command, options.timeout, options.frames) as bench:
            table = Table(command, options.json)
            for outcome in run_all(bench):
                table.add(outcome)
            return table.finish(time.monotonic() - start)
    except OSError as error:
        print(f"[ERROR] cannot start {command[0]}: {error.strerror or error}", file=sys.stderr)
        return 2


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    given = list(arguments)
    at = given.index("--") if "--" in given else len(given)
    return given[:at], given[at : at + 1], given[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m orion_worker check",
        usage="%(prog)s [options] (WORKER.py [-- ARGUMENT ...] | -- PROGRAM [ARGUMENT ...])",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION,
        epilog=_EPILOG + _wrapped([check.name for check in CHECKS]),
    )
    add = parser.add_argument
    add("worker", nargs="?", metavar="WORKER.py", help="a Python file that is a worker")
    add(
        "--frames",
        type=_count,
        default=300,
        metavar="N",
        help="length of the load run (default: %(default)s)",
    )
    add(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="seconds until ready and for any answer (default: 30)",
    )
    add("--json", action="store_true", help="one JSON object a line: every check, then the sums")
    return parser


def _command(worker: str | None, after: list[str], dashes: bool) -> list[str]:
    if worker is None:
        if not after:
            raise _Usage("no command after --" if dashes else "no worker given")
        program, rest = after[0], after[1:]
    elif worker.endswith(".py"):
        if not Path(worker).is_file():
            raise _Usage(f"{worker}: no such file")
        program, rest = sys.executable, [worker, *after]
    else:
        raise _Usage(f"{worker} is no .py file; to run a command, put -- before it")
    found = shutil.which(program)
    if found is None:
        raise _Usage(f"{program}: no such program")
    # It is also run in another directory.
    return [str(Path(found).absolute()), *(_absolute(argument) for argument in rest)]


def _absolute(argument: str) -> str:
    path = Path(argument)
    names_a_path = path.is_file() or ("/" in argument and path.exists())
    return str(path.absolute()) if argument and names_a_path else argument


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 10 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 10 to 1000000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0.1 to 3600")
    return seconds


def _wrapped(names: Sequence[str]) -> str:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > 90:
            lines.append("  ")
        lines[-1] += name + " "
    return "\n".join(line.rstrip() for line in lines)
