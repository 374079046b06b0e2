# SPDX-License-Identifier: MPL-2.0
"""The ledgers in the last lines of the daemon's log."""

import re
from collections.abc import Iterable
from typing import Any

LINE = re.compile(
    r"(\w+): received (\d+) = forwarded (\d+) \+ dropped (.*) \+ in flight (\d+)"
    r" \((adds up|DOES NOT ADD UP)\)"
)


def read(lines: Iterable[str]) -> dict[str, dict[str, Any]]:
    """By element; each of them adds up."""
    books: dict[str, dict[str, Any]] = {}
    for line in lines:
        if found := LINE.search(line):
            name, received, forwarded, lost, in_flight, verdict = found.groups()
            losses = {} if lost == "0" else dict(one.rsplit(" ", 1) for one in lost.split(", "))
            dropped = {cause: int(count) for cause, count in losses.items()}
            total = int(forwarded) + int(in_flight) + sum(dropped.values())
            assert verdict == "adds up" and int(received) == total, line
            books[name] = {"received": int(received), "forwarded": int(forwarded), "dropped": dropped}
            books[name]["in_flight"] = int(in_flight)
    assert {"source", "roi", "infer", "sink"} <= books.keys(), books
    return books
