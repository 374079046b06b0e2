# SPDX-License-Identifier: MPL-2.0
"""What a scenario is: plain values that say what is done, what must be told, and what must be true."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stage import Stage

Act = Callable[[Stage], object]
Told = Callable[[Stage, float], Iterator[tuple[float, str]]]
"""What says so, since a moment: when, and in which words."""


@dataclass(frozen=True)
class Scenario:
    """One fault, from a stage where all is well until all is well again."""

    name: str
    injected: str
    """In words."""
    fault: Act
    told: Told
    """What the user is to be told."""
    end: Act | None = None
    """Ends the fault; none = it ends by itself."""
    within: float = 4.0
    """Seconds in which it must be told."""
    back: float = 8.0
    """Seconds in which all must be well again, after the fault has ended."""
    hold: float = 0.0
    """Seconds that the fault goes on after it was told."""
    config: Mapping[str, Any] = field(default_factory=dict)
    camera: tuple[object, ...] = ()
    """Arguments of orion-camera."""
    empty: bool = False
    """Nobody is there, so that `absent` is true as long as somebody looks."""
    blind: bool = False
    """While it lasts nothing of the room is seen."""
    flows: bool = True
    """Results come again when it is over; else it is only told."""
    deaf: bool = False
    """The daemon cannot be asked while it lasts."""
    forgets: bool = False
    """The broker may lose what it has acknowledged."""
    restarts: bool = False
    """The daemon is another process afterwards."""
    clock: bool = False
    """Times in messages are no measure."""
    bad_worker: bool = False
    prefix: tuple[object, ...] = ()
    """Words before the daemon's command line."""
    env: Mapping[str, str] = field(default_factory=dict)
    camera_env: Mapping[str, str] = field(default_factory=dict)
    setup: Callable[[Path], None] | None = None
    """Prepares the scenario's folder, before anything is started; texts have it as {folder}."""
    teardown: Callable[[Path], None] | None = None
    """Undoes that, when everything has ended."""
    before: Act | None = None
    """Before the fault, when all is well."""
    after: Act | None = None
    """Checks of its own, when all is well again; raises AssertionError."""
    needs: Callable[[], str] | None = None
    """What is missing here to run it; empty = nothing."""
    short: bool = False
    """Part of the short form."""


def event(name: str, **fields: str) -> Told:
    """An event on `care/health`, with fields that match."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        for at, said in stage.said(after, "health"):
            fits = all(re.search(pattern, str(said.get(key, ""))) for key, pattern in fields.items())
            if said.get("event") == name and fits:
                words = [said.get("cause"), said.get("detail"), said.get("reason"), said.get("text")]
                yield at, " ".join([name, *(f"({word})" for word in words if word)])

    return look


def presence(reason: str, **fields: str) -> Told:
    """`unknown` on `care/presence` for this reason."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        for at, said in stage.said(after, "presence"):
            fits = said and said.get("reason") == reason
            if fits and all(str(said.get(key, "")) == value for key, value in fields.items()):
                yield at, f"presence unknown ({reason})"

    return look


def status(word: str) -> Told:
    """A word on `care/status`."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        for at, said in stage.said(after, "status"):
            if said == word:
                yield at, f"status {word}"

    return look


def health(pattern: str) -> Told:
    """A reason of `/readyz`."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        for at, state in list(stage.poll.looks):
            for reason in state["reasons"]:
                if at >= after and re.search(pattern, reason):
                    yield at, f"/readyz {state['status']}: {reason}"

    return look


def log(pattern: str) -> Told:
    """A line of the daemon's log."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        for at, line in stage.lines(after):
            if re.search(pattern, line):
                yield at, "log: " + re.sub(r"^\S+ +", "", line)

    return look


def lost(cause: str) -> Told:
    """A result that says how many frames before it were lost for this cause."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        for at, result in stage.results(after):
            if count := result["lost_since_last"].get(cause):
                yield at, f"lost_since_last {cause} {count}"

    return look


def given_up(cause: str) -> Told:
    """A record of results that were made and will never come."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        for at, gap in stage.gaps(after):
            if gap["cause"] == cause:
                yield at, f"gap record: {gap['frames']} results given up ({cause})"

    return look


def ack(pattern: str) -> Told:
    """A refusal as an answer to a command."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        for at, said in stage.said(after, "health"):
            if "command_ack" in said and re.search(pattern, said.get("error", "")):
                yield at, f"{said['command_ack']}: {said['error']}"

    return look


def nothing() -> Told:
    """It is no fault that anybody has to be told of: everything must stay well."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        yield after, "nothing: it works on"

    return look


def every(*told: Told) -> Told:
    """All of them; the time is that of the first, the words are those of all."""

    def look(stage: Stage, after: float) -> Iterator[tuple[float, str]]:
        found = [next(one(stage, after), None) for one in told]
        if all(found):
            yield min(at for at, _ in found), "; ".join(words for _, words in found)

    return look
