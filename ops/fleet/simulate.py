# SPDX-License-Identifier: MPL-2.0
"""Plays fleets of daemons against one broker and prints what it bears: `make simulate INSTANCES=1000`.

The instances speak Orion's contract over MQTT (results, status with a last will, state, presence, answers to
commands), without video.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import urlsplit

try:
    import paho.mqtt  # noqa: F401
except ImportError:
    sys.exit("simulate.py needs the Python package paho-mqtt; make python-dev installs it into models/.venv")

from simulation import machine
from simulation.broker import BrokerError
from simulation.figures import table
from simulation.run import Plan, Stuck, run

BEGIN, END = "<!-- simulation -->", "<!-- end of simulation -->"


def _instances(text: str) -> int:
    return _within(text, int, 1, 20_000)


def _seconds(text: str) -> float:
    return _within(text, float, 1, 86_400)


def _rate(text: str) -> float:
    return _within(text, float, 0.1, 15)


def _outage(text: str) -> float:
    return _within(text, float, 0, 3600)


def _within(text: str, kind: type, least: float, most: float) -> float:
    try:
        number = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text} is not within {least:g}..{most:g}")
    return number


def _address(text: str) -> tuple[str, int]:
    found = urlsplit(text)
    try:
        port = found.port or 1883
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if found.scheme != "mqtt" or not found.hostname or found.path or found.username:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form mqtt://host[:port]")
    return found.hostname, port


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--instances",
        type=_instances,
        nargs="+",
        default=[1000],
        metavar="N",
        help="one fleet of each size, 1..20000",
    )
    parser.add_argument("--seconds", type=_seconds, default=60.0, metavar="S", help="of measuring (60)")
    parser.add_argument(
        "--rate", type=_rate, default=1.0, metavar="HZ", help="results a second of each instance, 0.1..15 (1)"
    )
    parser.add_argument(
        "--outage",
        type=_outage,
        default=5.0,
        metavar="S",
        help="how long the broker is away; 0 = no restart (5)",
    )
    parser.add_argument(
        "--broker",
        type=_address,
        metavar="URI",
        help="mqtt://host[:port], one that is there; default: its own",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a line of JSON for each fleet instead of a table"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help=f"put the table into this page, between {BEGIN} and {END}"
    )
    return parser.parse_args(words)


def write(page: Path, text: str) -> None:
    """Replaces what stands between the marks.

    Raises:
        ValueError: The page has no such marks.
    """
    whole = page.read_text()
    before, begin, rest = whole.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main(words: list[str] | None = None) -> int:
    """Plays each fleet; 0 when all went well, 1 otherwise."""
    asked = arguments(words)
    plan = Plan(0, asked.seconds, asked.rate, asked.outage, asked.broker)
    reports, failed = [], 0
    for instances in asked.instances:
        try:
            report = run(
                replace(plan, instances=instances), lambda text: print(f"... {text}", file=sys.stderr)
            )
        except (Stuck, BrokerError, machine.TooFewFiles, RuntimeError, OSError) as error:
            print(f"simulate.py: {instances} instances: {error}", file=sys.stderr)
            return 1
        reports.append(report)
        for trouble in report.troubles:
            print(f"simulate.py: {instances} instances: {trouble}", file=sys.stderr)
        failed |= bool(report.troubles or report.unanswered or report.lost)
        if asked.json:
            print(json.dumps(asdict(report)), flush=True)
    text = f"{machine.describe()}\n\n{table(reports)}"
    if not asked.json:
        print(text)
    if asked.write:
        try:
            write(asked.write, text)
        except (ValueError, OSError) as error:
            print(f"simulate.py: {error}", file=sys.stderr)
            return 1
    return failed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
