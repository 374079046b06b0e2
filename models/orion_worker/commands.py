# SPDX-License-Identifier: MPL-2.0
"""Commands to a running worker and their acknowledgements."""

from collections.abc import Mapping
from typing import Any

from orion_worker import wire
from orion_worker.detector import Detector, Tunable
from orion_worker.errors import CommandError
from orion_worker.version import VERSION

SETTINGS = {"set_confidence": "confidence", "set_iou_threshold": "iou_threshold", "set_labels": "labels"}
"""Commands that change a setting, and the parameter each takes."""

COMMANDS = ("ping", "describe", *SETTINGS)


def acknowledge(command: wire.Command, detector: Detector, frames: Mapping[str, int]) -> wire.Ack:
    """Carry out a command; `frames` are the worker's counters.

    An unknown command or a wrong parameter gives status `error` with a text that names it.
    """
    try:
        data = _carry_out(command, detector, frames)
    except CommandError as error:
        return wire.Ack(command.id, command.command, "error", error=str(error))
    return wire.Ack(command.id, command.command, "success", data=data)


def _carry_out(command: wire.Command, detector: Detector, frames: Mapping[str, int]) -> dict[str, Any]:
    name, params = command.command, command.params
    if name not in COMMANDS:
        raise CommandError(f"unknown command {name[:64]!r}; known: {', '.join(COMMANDS)}")
    wanted = SETTINGS.get(name)
    for given in params:
        if given != wanted:
            raise CommandError(f"params.{given[:64]}: unknown parameter of {name}")
    if name == "ping":
        return {"worker": detector.name, "version": VERSION}
    if wanted is None:
        return {"worker": detector.name, "version": VERSION, **detector.describe(), "frames": dict(frames)}
    if wanted not in params:
        raise CommandError(f"params.{wanted}: missing")
    if not isinstance(detector, Tunable):
        raise CommandError(f"{detector.name} does not support {name}")
    try:
        return {wanted: detector.tune(wanted, params[wanted])}
    except CommandError as error:
        raise CommandError(f"params.{wanted}: {error}") from error
