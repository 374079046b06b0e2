# SPDX-License-Identifier: MPL-2.0
"""Plays one scenario, takes the times, and holds what has happened against what must always be true."""

import contextlib
import itertools
import os
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import checks
from running import wait_for
from scenario import Scenario
from stage import Stage

_ANSWER_S = 5.0


@dataclass
class Outcome:
    """What one scenario has shown; times in seconds."""

    name: str
    family: str
    injected: str
    noticed_s: float | None = None
    told: str = ""
    results_s: float | None = None
    well_s: float | None = None
    control_s: float | None = None
    lost: dict[str, int] = field(default_factory=dict)
    took_s: float = 0.0
    missing: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems and not self.missing


def measure(one: Scenario, family: str) -> Outcome:
    """Plays it."""
    outcome = Outcome(one.name, family, one.injected)
    if one.needs and (missing := one.needs()):
        outcome.missing = missing
        return outcome
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="orion-fault-") as folder:
        stage = None
        try:
            if one.setup:
                one.setup(Path(folder))
            stage = Stage(
                Path(folder),
                _in(folder, one.config),
                _camera(one),
                one.prefix,
                _in(folder, one.env),
                _in(folder, one.camera_env),
                one.bad_worker,
            )
            _Play(one, stage, outcome).run()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            outcome.problems.append(f"{type(error).__name__} at {where.name}:{where.lineno}: {error}")
            if stage and stage.daemon and str(error) and "\n" not in str(error):
                outcome.problems.append(stage.daemon.program.output[-1500:])
        finally:
            if stage:
                stage.close()
            if one.teardown:
                one.teardown(Path(folder))
    outcome.took_s = time.monotonic() - began
    return outcome


def _in(folder: str, value: Any) -> Any:
    """The same with the scenario's folder in its texts."""
    if isinstance(value, Mapping):
        return {key: _in(folder, inner) for key, inner in value.items()}
    return value.replace("{folder}", folder) if isinstance(value, str) else value


def _camera(one: Scenario) -> tuple[object, ...]:
    return (
        one.camera
        if "--pattern" in one.camera
        else ("--pattern", "night" if one.empty else "ball", *one.camera)
    )


class _Play:
    def __init__(self, one: Scenario, stage: Stage, outcome: Outcome) -> None:
        self.one, self.stage, self.outcome = one, stage, outcome

    def run(self) -> None:
        one, stage = self.one, self.stage
        self._well("at the start", 20)
        if one.before:
            one.before(stage)
        struck = time.monotonic()
        one.fault(stage)
        self._notice(struck)
        if one.hold:
            time.sleep(one.hold)
        if not one.deaf:
            self._answers("while the fault lasts")
        ends = time.monotonic()
        if one.end:
            one.end(stage)
        over = time.monotonic()
        self._recover(over)
        if one.after:
            one.after(stage)
        self._controls(over)
        self.outcome.problems += checks.presence(one, stage, struck, ends)
        self._check(bool(zombies := stage.zombies()), f"zombies: {zombies}")
        self._end()

    def _check(self, wrong: bool, text: str) -> None:
        if wrong:
            self.outcome.problems.append(text)

    def _notice(self, struck: float) -> None:
        def look() -> tuple[float, str] | None:
            return next(self.one.told(self.stage, struck), None)

        try:
            at, words = wait_for("what is to be told", look, self.one.within)
        except AssertionError:
            said = [words for _, words in itertools.islice(self._anything(struck), 8)]
            raise AssertionError(f"not told within {self.one.within} s; what was said: {said}") from None
        self.outcome.told = words
        # Of what nobody is told there is no time.
        self.outcome.noticed_s = None if words.startswith("nothing") else at - struck

    def _anything(self, after: float) -> Any:
        """What a person would have seen."""
        for kind in ("health", "presence", "status"):
            for at, said in self.stage.said(after, kind):
                yield at, f"{kind} {said}"
        for at, state in self.stage.poll.looks:
            if at >= after and state["reasons"]:
                yield at, f"/readyz {state['reasons']}"
        yield from ((at, line) for at, line in self.stage.lines(after) if "WARN" in line or "ERROR" in line)

    def _state(self) -> dict[str, Any]:
        looks = self.stage.poll.looks
        return looks[-1][1] if looks else {"status": "none yet", "reasons": []}

    def _well(self, when: str, seconds: float, after: float = 0.0) -> None:
        """Results come, presence is known, and the daemon calls itself healthy."""
        expected = "absent" if self.one.empty else "present"

        def well() -> bool:
            told = [said for _, said in self.stage.said(0, "presence") if said]
            fresh = bool(self.stage.poll.looks) and self.stage.poll.looks[-1][0] > after
            known = bool(told) and told[-1]["state"] == expected
            online = [said for _, said in self.stage.said(0, "status")][-1:] == ["online"]
            return fresh and self._state()["status"] == "healthy" and known and online

        try:
            wait_for(when, well, seconds)
        except AssertionError:
            told = [said for _, said in self.stage.said(0, "presence")][-1:]
            raise AssertionError(
                f"not well {when} within {seconds:.0f} s: {self._state()['reasons']} {told}"
            ) from None

    def _fresh(self, over: float, wall: float) -> tuple[float, dict] | None:
        """The first result of a picture that was taken after that moment."""
        for at, result in self.stage.results(over):
            captured = datetime.fromisoformat(result["timestamp"][:26] + "+00:00").timestamp()
            if self.one.clock or captured >= wall:
                return at, result
        return None

    def _recover(self, over: float) -> None:
        if not self.one.flows:
            self.outcome.well_s = 0.0
            return
        wall = time.time() - (time.monotonic() - over)
        at, _ = wait_for("a result after the fault", lambda: self._fresh(over, wall), self.one.back)
        self.outcome.results_s = at - over
        left = self.one.back - (time.monotonic() - over)
        self._well("again", max(left, 0.1), over)
        self.outcome.well_s = time.monotonic() - over

    def _answers(self, when: str) -> None:
        """It is never silent on care/health."""
        try:
            id = self.stage.daemon.send("get_status")
            answer = self.stage.daemon.ack(id, _ANSWER_S)
        except (AssertionError, OSError) as error:
            self.outcome.problems.append(f"no answer on care/health {when}: {str(error)[:200]}")
        else:
            self._check(answer["status"] != "success", f"get_status {when}: {answer}")

    def _controls(self, over: float) -> None:
        """Commands are answered again; nobody hears one that comes before the daemon has subscribed again."""

        def answered() -> bool:
            id = self.stage.daemon.send("get_status")
            with contextlib.suppress(AssertionError):
                return self.stage.daemon.ack(id, 0.5)["status"] == "success"
            return False

        left = max(self.one.back - (time.monotonic() - over), 1)
        wait_for("an answer on care/health when it is over", answered, left)
        self.outcome.control_s = time.monotonic() - over

    def _end(self) -> None:
        """It stops in order, and the books are compared with what was heard."""
        stage, daemon = self.stage, self.stage.daemon
        stage.poll.end()
        daemon.stop(seconds=8)
        # The last word of all, behind the last result.
        wait_for(
            "the last word", lambda: [said for _, said in stage.said(0, "status")][-1:] == ["stopped"], 5
        )
        if keep := os.environ.get("FAULT_LOGS"):
            Path(keep).mkdir(parents=True, exist_ok=True)
            (Path(keep) / f"{self.one.name.replace(' ', '-')}.log").write_text(daemon.program.output)
        books = daemon.books()
        self.outcome.lost = checks.lost(books)
        self.outcome.problems += [*checks.books(self.one, stage, books), *checks.log(stage)]
        stage.listener.close()
