# SPDX-License-Identifier: MPL-2.0
"""What must be true whatever has happened; each gives what is wrong, in words."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from scenario import Scenario
from stage import BLACK_S, EVIDENCE_S, FROZEN_S, Stage

Books = dict[str, dict[str, Any]]

NO_LOSS = {"rate_limit", "paused", "shutdown"}
"""Causes that are wanted, or belong to the end of the scenario."""


def lost(books: Books) -> dict[str, int]:
    """Frames and results that were lost, by cause."""
    count: Counter[str] = Counter()
    for name in ("infer", "sink"):
        count.update({cause: n for cause, n in books[name]["dropped"].items() if cause not in NO_LOSS})
    return dict(count)


def presence(one: Scenario, stage: Stage, struck: float, ends: float) -> Iterator[str]:
    """Never `absent` where somebody is, nor where nobody looks."""
    told = [(at, said) for at, said in stage.said(0, "presence") if said]
    absent = [(at, said) for at, said in told if said["state"] == "absent"]
    if absent and not one.empty:
        yield f"absent, though somebody is there: {absent[0][1]}"
        return
    for _, said in absent:
        if said["evidence_age_ms"] is None or said["evidence_age_ms"] > 1000 * EVIDENCE_S:
            yield f"absent without a recent look: {said}"
    # A frozen or black picture is one only when it has stayed so; looks count until they are too old.
    least = struck + EVIDENCE_S + max(FROZEN_S, BLACK_S) + 1
    standing = [(at, said) for at, said in told if at < ends]
    if not one.blind or ends <= least or not standing:
        return
    if standing[-1][1]["state"] == "absent" or any(at > least for at, _ in absent if at < ends):
        yield f"absent of a camera that is not seen: {standing[-1][1]}"


def books(one: Scenario, stage: Stage, books: Books) -> Iterator[str]:
    """Nothing is in flight at the end, and what was heard is what the books say."""
    if any(book["in_flight"] for book in books.values()):
        yield f"frames in flight at the end: {books}"
    if one.restarts:
        # The new process publishes what the old one has left on the disk, too.
        return
    made, sink = books["infer"]["forwarded"], books["sink"]
    if made != sink["received"]:
        yield f"{made} results made, {sink['received']} taken by the sink"
    results = [result for _, result in stage.results(0)]
    heard = len({result["frame_seq"] for result in results})
    # One that is given up may have arrived: its acknowledgement was lost.
    if heard > sink["forwarded"] + sum(sink["dropped"].values()):
        yield f"{heard} results heard, {sink['forwarded']} in the book"
    if not one.forgets:
        if heard < sink["forwarded"]:
            yield f"{sink['forwarded']} results acknowledged, {heard} heard"
        yield from _gaps(stage, results)


def _gaps(stage: Stage, results: list[dict[str, Any]]) -> Iterator[str]:
    """Frames without a result are told of by the result that follows."""
    once = {result["frame_seq"]: result for result in reversed(results)}
    ordered = [once[number] for number in sorted(once)]
    missing: set[int] = set()
    for before, after in itertools.pairwise(ordered):
        missing.update(range(before["frame_seq"] + 1, after["frame_seq"]))
    told = sum(sum(result["lost_since_last"].values()) for result in ordered[1:])
    records = {json.dumps(gap, sort_keys=True): gap for _, gap in stage.gaps(0)}.values()
    ranges = [one for gap in records for one in gap["ranges"]]
    given_up = {number for one in ranges for number in range(one["first"], one["last"] + 1)}
    # What was given up behind the worker is told of in both ways, and may have arrived all the same.
    arrived = len(given_up - missing)
    if not len(missing) <= told <= len(missing) + arrived:
        yield f"{len(missing)} frames without a result, {told} told by results, {len(given_up)} by records"


def log(stage: Stage) -> Iterator[str]:
    """Nothing in it that must never be."""
    text = stage.daemon.program.output
    for wrong in ("panicked", "CRITICAL", "DOES NOT ADD UP"):
        if wrong in text:
            yield f"{wrong} in the log: {text[max(0, text.find(wrong) - 200) :][:600]}"
