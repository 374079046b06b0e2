# SPDX-License-Identifier: MPL-2.0
"""What a simulated daemon does when it is told something, and what it answers."""

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from . import messages, moment

LEAST_HZ, MOST_HZ = 0.1, 30.0
"""Limits of the inference rate."""
CAMERA_HZ = 15.0
"""Frames a second of the simulated camera; what is told is in force from the next one on."""
# How many ids a daemon remembers.
_REMEMBERED = 256


class Refused(Exception):
    """Why a command changes nothing."""


@dataclass
class Desk:
    """The settings in force, and the commands that were answered."""

    instance: str
    rate_hz: float
    paused: bool = False
    stopping: bool = False
    revision: int = 1
    since: str = field(default_factory=moment.now)
    answered: OrderedDict[Any, dict[str, Any]] = field(default_factory=OrderedDict)

    def state(self) -> dict[str, Any]:
        """As it is retained."""
        return messages.state(self.instance, self.revision, self.paused, self.rate_hz, self.since)

    def hear(self, payload: bytes, seq: int) -> dict[str, Any]:
        """Carries a command out; the answer. The next frame has that number."""
        try:
            request = json.loads(payload)
        except ValueError as error:
            return self._ack("", None, error=f"not JSON: {error}")
        if not isinstance(request, dict) or not isinstance(request.get("command"), str):
            return self._ack("", None, error="command is missing")
        name, id_ = request["command"], request.get("id")
        if id_ is not None and id_ in self.answered:
            return {**self.answered[id_], "timestamp": moment.now(), "duplicate": True}
        try:
            data, changes = self._carry_out(name, request.get("params") or {}, bool(request.get("dry_run")))
        except Refused as refused:
            ack = self._ack(name, id_, error=str(refused))
        else:
            if changes:
                self.revision, self.since = self.revision + 1, moment.now()
            ack = self._ack(name, id_, data=data, seq=seq)
        if id_ is not None:
            self.answered[id_] = ack
            while len(self.answered) > _REMEMBERED:
                self.answered.popitem(last=False)
        return ack

    def _carry_out(self, name: str, params: dict[str, Any], dry: bool) -> tuple[dict[str, Any], bool]:
        """What the answer holds, and whether the state has changed."""
        match name:
            case "get_status":
                health = {"status": "healthy", "reasons": []}
                keys = ("paused", "inference_rate_hz", "config")
                state = {key: value for key, value in self.state().items() if key in keys}
                return {"health": health, **state, "pending": []}, False
            case "pause_inference" | "resume_inference":
                paused = name == "pause_inference"
                if paused == self.paused:
                    raise Refused("already paused" if paused else "not paused")
                self.paused = self.paused if dry else paused
                return {"paused": paused}, not dry
            case "set_inference_rate":
                rate = params.get("rate_hz")
                if isinstance(rate, bool) or not isinstance(rate, int | float):
                    raise Refused("params.rate_hz: expected a number")
                if not LEAST_HZ <= rate <= MOST_HZ:
                    raise Refused(f"params.rate_hz: {rate} is not within {LEAST_HZ}..{MOST_HZ:g}")
                changed = not dry and rate != self.rate_hz
                self.rate_hz = self.rate_hz if dry else float(rate)
                expected = min(float(rate), CAMERA_HZ)
                by = "camera" if expected < rate else None
                told = {"rate_hz": float(rate), "expected_rate_hz": expected, "camera_fps": CAMERA_HZ}
                return {**told, "limited_by": by}, changed
            case "shutdown":
                self.stopping = not dry
                return {}, False
            case _:
                raise Refused(f"command {name}: the simulation does not play it")

    def _ack(
        self,
        name: str,
        id_: object,
        data: dict[str, Any] | None = None,
        seq: int | None = None,
        error: str | None = None,
    ) -> dict[str, Any]:
        ack: dict[str, Any] = {"command_ack": name, "status": "success" if error is None else "error"}
        if id_ is not None:
            ack["id"] = id_
        if error is not None:
            ack["error"] = error
        else:
            ack |= {"applied_at_seq": seq, "data": data}
        return {**ack, "revision": self.revision, "timestamp": moment.now()}
