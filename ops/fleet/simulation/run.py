# SPDX-License-Identifier: MPL-2.0
"""One size of the fleet, from the first connection to the last word."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from . import machine
from .broker import Broker
from .commander import Commander
from .figures import Report, quantile
from .herd import Herd
from .watcher import Watcher

# Connections of an instance.
_EACH = 2
_POLL_S = 0.05
_START_S = 120.0
_COMMAND_S = 30.0
_DRAIN_S = 60.0
# Without anything heard for so long nothing more comes.
_QUIET_S = 1.0
# Each is told to all.
_COMMANDS = 4


class Stuck(Exception):
    """Something has not happened in its time."""


@dataclass(frozen=True)
class Plan:
    """What is played."""

    instances: int
    seconds: float
    rate_hz: float
    outage_s: float
    """How long the broker is away; 0 = no restart."""
    broker: tuple[str, int] | None = None
    """One that is there already, which is neither measured nor restarted."""


def run(plan: Plan, say: Callable[[str], None] = lambda text: None) -> Report:
    """Plays it.

    Raises:
        Stuck: Something has not happened in its time; says what.
        BrokerError: The broker does not start.
        TooFewFiles: The system does not allow so many connections.
    """
    machine.allow_files(_EACH * plan.instances)
    with ExitStack() as stack:
        broker = None
        if plan.broker is None:
            broker = Broker()
            stack.callback(broker.close)
            broker.start()
        return _Run(plan, broker, stack, say).play()


class _Run:
    def __init__(
        self, plan: Plan, broker: Broker | None, stack: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._plan, self._broker, self._say = plan, broker, say
        self._report = Report(plan.instances, plan.rate_hz)
        self._address = broker.address if broker else plan.broker
        self._stack = stack
        self._herds: list[Herd] = []

    def play(self) -> Report:
        self._watcher = Watcher(self._address)
        self._stack.callback(self._watcher.end)
        self._until("the consumer is there", lambda: self._watcher.ask("is_up"), 20)
        self._start()
        self._measure()
        self._command()
        if self._broker and self._plan.outage_s > 0:
            self._restart(self._broker)
        self._end()
        return self._report

    def _start(self) -> None:
        self._say(f"{self._plan.instances} instances connect")
        before = self._broker.connections() if self._broker else 0
        begun = time.monotonic()
        width = len(str(self._plan.instances - 1))
        names = [f"sim-{number:0{width}}" for number in range(self._plan.instances)]
        processes = min(max(1, (os.cpu_count() or 2) - 1), len(names))
        for part in range(processes):
            herd = Herd(names[part::processes], self._address, self._plan.rate_hz)
            self._stack.callback(herd.end)
            self._herds.append(herd)
        ready = self._until("all instances are there", self._all_ready, _START_S)
        self._report.start_s = max(ready) - begun
        if self._broker:
            self._report.connections = self._broker.connections() - before

    def _measure(self) -> None:
        self._say(f"measuring for {self._plan.seconds:g} s")
        # What was said at the start has come by now.
        time.sleep(min(1.0, self._plan.seconds / 4))
        used, counts = self._used(), self._counts()
        self._watcher.ask("begin")
        time.sleep(self._plan.seconds)
        heard, later, usage = self._watcher.ask("end"), self._counts(), self._used()
        report = self._report
        report.wanted_hz = self._plan.instances * self._plan.rate_hz
        report.published_hz = (later["made"] - counts["made"]) / (later["at"] - counts["at"])
        report.delivered_hz, report.bytes_hz = heard["messages_hz"], heard["bytes_hz"]
        report.latency_ms = tuple(None if one is None else 1000 * one for one in heard["latency_s"])
        if used and usage:
            report.broker_cpu = (usage.cpu_s - used.cpu_s) / (usage.at - used.at)
            report.broker_mib = usage.mib
        if report.published_hz < 0.95 * report.wanted_hz:
            report.troubles.append(
                "the simulation itself could not keep its rate: the machine is too slow for it"
            )

    def _command(self) -> None:
        self._say("commands to all")
        commander, times, expected = Commander(self._address), [], self._plan.instances
        try:
            for number in range(_COMMANDS):
                rate = self._plan.rate_hz * (0.5 if number % 2 == 0 else 1.0)
                params = {"rate_hz": min(max(rate, 0.1), 30.0)}
                answers = commander.tell_all("set_inference_rate", params, expected, _COMMAND_S)
                self._report.unanswered += expected - len(answers)
                times += answers
        finally:
            commander.close()
        found = (quantile(times, 0.5), quantile(times, 0.99), max(times, default=None))
        self._report.command_ms = tuple(None if one is None else 1000 * one for one in found)

    def _restart(self, broker: Broker) -> None:
        self._say(f"the broker goes for {self._plan.outage_s:g} s")
        begun = time.monotonic()
        broker.stop()
        self._until("all instances have noticed", lambda: not self._ready(), 30)
        time.sleep(max(0.0, begun + self._plan.outage_s - time.monotonic()))
        back = broker.start()
        self._report.outage_s = back - begun
        ready = self._until("all instances are back", self._all_ready, _START_S)
        self._report.back_s = tuple(one - back for one in (quantile(ready, 0.5), max(ready)))
        # Results go on for a while.
        time.sleep(min(2.0, self._plan.seconds))

    def _end(self) -> None:
        self._say("what is under way comes to its end")
        for herd in self._herds:
            herd.ask("rest")
        self._until(
            "the broker has all results", lambda: all(herd.ask("idle") for herd in self._herds), _DRAIN_S
        )
        heard, since = -1, time.monotonic()
        end = since + _DRAIN_S
        while time.monotonic() < min(end, since + _QUIET_S):
            if heard != (now := self._watcher.ask("heard")):
                heard, since = now, time.monotonic()
            time.sleep(_POLL_S)
        totals = {name: seq for herd in self._herds for name, seq in herd.ask("totals").items()}
        self._report.lost, self._report.repeated = self._watcher.ask("lost", totals)
        for herd in self._herds:
            if not herd.ask("goodbye"):
                self._report.troubles.append("not every instance could say goodbye")

    def _ready(self) -> list[float]:
        return [at for herd in self._herds for at in herd.ask("ready")]

    def _all_ready(self) -> list[float] | None:
        ready = self._ready()
        return ready if len(ready) == self._plan.instances else None

    def _counts(self) -> dict[str, float]:
        found = [herd.ask("counts") for herd in self._herds]
        return {"made": sum(one["made"] for one in found), "at": max(one["at"] for one in found)}

    def _used(self) -> Any:
        return self._broker.usage() if self._broker else None

    @staticmethod
    def _until(what: str, look: Callable[[], Any], limit_s: float) -> Any:
        end = time.monotonic() + limit_s
        while not (found := look()):
            if time.monotonic() > end:
                raise Stuck(f"{what}: not within {limit_s:g} s")
            time.sleep(_POLL_S)
        return found
