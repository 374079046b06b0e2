# SPDX-License-Identifier: MPL-2.0
"""What became of each frame of a camera: heard as a result, told as lost, or unexplained.

Frames are numbered where they enter (`frame_seq`, from 0). A number without a result must be told of by
`lost_since_last` of a result that follows; and all of it must be what the books of the elements say.
Results that were made and given up are named by records of the type `gap`, too. They may have arrived all the
same, when the connection broke before the broker could say so: they are told as lost then, and heard.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Books = Mapping[str, Mapping[str, Any]]
"""By element: `received`, `forwarded`, `in_flight`, and `dropped` by cause."""

BEHIND = ("infer", "sink")
"""Elements behind the one that numbers frames."""


@dataclass
class Losses:
    """What an account comes to."""

    heard: int = 0
    repeats: int = 0
    """Results that came more than once, as QoS 1 allows."""
    missing: int = 0
    """Numbers without a result up to the last one that has one."""
    told: Counter[str] = field(default_factory=Counter)
    """By `lost_since_last`, by cause."""
    recorded: Counter[str] = field(default_factory=Counter)
    """Of these, named by gap records, by cause."""
    arrived: int = 0
    """Told as lost, and heard."""
    ledger: Counter[str] = field(default_factory=Counter)
    """By the books, by cause."""
    problems: list[str] = field(default_factory=list)


@dataclass
class Account:
    """Of one camera, message by message."""

    results: dict[int, dict[str, int]] = field(default_factory=dict)
    repeats: int = 0
    told: Counter[str] = field(default_factory=Counter)
    """Losses that were told so far, by cause."""
    gaps: dict[str, tuple[str, list[tuple[int, int]]]] = field(default_factory=dict)

    def result(self, message: Mapping[str, Any]) -> bool:
        """Whether it is a new one."""
        number = message["frame_seq"]
        if number in self.results:
            self.repeats += 1
            return False
        self.results[number] = dict(message["lost_since_last"])
        self.told.update(self.results[number])
        return True

    def gap(self, record: Mapping[str, Any]) -> None:
        # A range that covers more than its frames names none of them.
        whole = [one for one in record["ranges"] if one["frames"] == one["last"] - one["first"] + 1]
        ranges = [(one["first"], one["last"] + 1) for one in whole]
        self.gaps[json.dumps(record, sort_keys=True)] = (record["cause"], ranges)

    def close(self, books: Books) -> Losses:
        """Holds what was heard against what was told, and both against the books of the end."""
        losses = Losses(len(self.results), self.repeats)
        for name in BEHIND:
            losses.ledger.update(books[name]["dropped"])
        records = self.gaps.values()
        causes = {n: cause for cause, ranges in records for one in ranges for n in range(*one)}
        losses.recorded = Counter(causes.values())
        losses.problems += _unbalanced(books)
        # A result that tells of losses may be lost itself: then a later one does. So it is carried on.
        owed, since, before = 0, 0, -1
        for number in sorted(self.results):
            hole, lost = number - before - 1, self.results[number]
            losses.missing += hole
            since = before + 1 if owed == 0 else since
            owed += hole
            if number in causes:
                # It was given up: a later one tells of it, and says again what it has said.
                losses.arrived += 1
                owed += 1
            else:
                losses.told.update(lost)
                owed -= sum(lost.values())
            if owed < 0:
                losses.problems.append(f"result {number} tells of {-owed} lost frames that are not missing")
                owed = 0
            before = number
        if owed:
            losses.problems.append(f"{owed} frames from {since} to {before} have no result and no cause")
        losses.problems += _against(books, losses, before)
        return losses


def _against(books: Books, losses: Losses, last: int) -> list[str]:
    problems = []
    numbered, acknowledged = books["roi"]["forwarded"], books["sink"]["forwarded"]
    if last >= numbered:
        problems.append(f"result {last} is there, but only {numbered} frames were numbered")
    lost, without = sum(losses.ledger.values()), numbered - losses.heard
    if lost != without + losses.arrived:
        known = f"the books know of {lost} ({listed(losses.ledger)})"
        problems.append(f"{without} of {numbered} frames have no result, {known}")
    if losses.heard != acknowledged + losses.arrived:
        problems.append(f"{losses.heard} results heard, {acknowledged} acknowledged by the broker")
    for cause, count in losses.told.items():
        if count > losses.ledger[cause]:
            problems.append(f"{cause}: {count} told, {losses.ledger[cause]} in the books")
    return problems


def _unbalanced(books: Books) -> list[str]:
    problems = []
    for name, book in books.items():
        if not adds_up(book):
            problems.append(f"{name}'s book does not add up: {book}")
        if book["in_flight"]:
            problems.append(f"{name}: {book['in_flight']} frames in flight at the end")
    if books["infer"]["forwarded"] != books["sink"]["received"]:
        made, taken = books["infer"]["forwarded"], books["sink"]["received"]
        problems.append(f"infer made {made} results, the sink took {taken}")
    return problems


def adds_up(book: Mapping[str, Any]) -> bool:
    return book["received"] == book["forwarded"] + book["in_flight"] + sum(book["dropped"].values())


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in sorted(counts.items())) or "none"
