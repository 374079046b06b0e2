# SPDX-License-Identifier: MPL-2.0
"""Commands to a running worker and their acknowledgements."""

from collections.abc import Mapping
from typing import Any

from orion_worker import wire
from orion_worker.adapter import Adapter
from orion_worker.errors import CommandError
from orion_worker.log import log
from orion_worker.version import VERSION

SETTINGS = {"set_confidence": "confidence", "set_iou_threshold": "iou_threshold", "set_labels": "labels"}
"""Commands that change a setting, and the parameter each takes."""

COMMANDS = ("ping", "describe", *SETTINGS)


def acknowledge(command: wire.Command, detector: Adapter, frames: Mapping[str, int]) -> wire.Ack:
    """Carry out a command; `frames` are the worker's counters.

    An unknown command or a wrong parameter gives status `error` with a text that names it, and so
    does a detector that fails.
    """
    try:
        data = _carry_out(command, detector, frames)
    except CommandError as error:
        return refusal(command, str(error))
    except Exception as error:  # a detector's fault must cost this command only
        log.debug("command %s", command.command, exc_info=error)
        return refusal(command, f"{type(error).__name__}: {error}")
    return wire.Ack(command.id, command.command, "success", data=data)


def refusal(command: wire.Command, reason: str) -> wire.Ack:
    """The acknowledgement of a command that was not carried out."""
    return wire.Ack(command.id, command.command, "error", error=reason)


def _carry_out(command: wire.Command, detector: Adapter, frames: Mapping[str, int]) -> dict[str, Any]:
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
    if detector.tunable is None:
        raise CommandError(f"{detector.name} does not support {name}")
    try:
        return {wanted: detector.tunable.tune(wanted, params[wanted])}
    except CommandError as error:
        raise CommandError(f"params.{wanted}: {error}") from error
