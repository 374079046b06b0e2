# SPDX-License-Identifier: MPL-2.0
"""How a worker starts: `ready`, a clean standard output, any environment."""

import math
import os
import re
from typing import Any

from orion_worker.conformance.bench import Bench
from orion_worker.conformance.host import Broken
from orion_worker.version import PROTOCOL

END_S = 2.0
"""How long the host waits for a worker to end by itself (`shutdown-timeout`)."""

_SHA256 = re.compile(r"[0-9a-f]{64}")

HOST_ARGUMENTS = {
    "--detector": "auto",
    "--model-size": "n",
    "--confidence": "0.5",
    "--iou-threshold": "0.45",
    "--labels": "person",
    "--threads": "0",
    "--execution-provider": "cpu",
}
"""What orionpyinfer adds to the command line of every worker."""

# As far from UTF-8 as it gets; the second and third keep Python from repairing it.
_LOCALE = {
    "LC_ALL": "tr_TR.ISO-8859-9",
    "LANG": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
}


def stdout(bench: Bench) -> str:
    """Nothing but messages on standard output, from the first byte to the last."""
    host = bench.start()
    bench.ask(bench.frame(), host)
    bench.ask(bench.frame(data=b"no picture"), host)
    host.send({"type": "command", "id": "1", "command": "ping", "params": {}})
    host.receive()
    host.end_input()
    host.wait_alone(bench.timeout)
    if rest := host.rest():
        raise Broken(f"standard output has {len(rest)} bytes after the last answer: {rest[:40]!r}")
    return "messages only"


def ready(bench: Bench) -> str:
    """It says `ready`, once, with all fields well formed."""
    message = bench.worker().ready
    if message.get("protocol") != PROTOCOL:
        raise Broken(f"ready.protocol is {message.get('protocol')!r}, expected {PROTOCOL}")
    for field in ("worker", "version"):
        if not isinstance(message.get(field), str) or not message[field]:
            raise Broken(f"ready.{field} is {message.get(field)!r}, expected text")
    if not _is_whole(message.get("pid"), 1):
        raise Broken(f"ready.pid is {message.get('pid')!r}, expected a process id")
    load_ms = message.get("load_ms", 0)
    if not is_time(load_ms):
        raise Broken(f"ready.load_ms is {load_ms!r}, expected a number of at least 0")
    _check_models(message.get("models", {}))
    return f"{message['worker']} {message['version']}, loaded in {load_ms:.0f} ms"


def host_arguments(bench: Bench) -> str:
    """The flags that the host adds to every command line do not keep it from starting."""
    given = {argument.partition("=")[0] for argument in bench.command}
    added = [part for flag, value in HOST_ARGUMENTS.items() if flag not in given for part in (flag, value)]
    host = bench.start(added)
    bench.result(bench.frame(), host)
    return f"starts with {' '.join(added)}"


def empty_environment(bench: Bench) -> str:
    """It works with no environment but PATH and LANG=C, in the root directory."""
    host = bench.start(directory="/", environment={"PATH": os.defpath, "LANG": "C"})
    bench.result(bench.frame(), host)
    return "works in / with PATH and LANG=C only"


def locale(bench: Bench) -> str:
    """Text is UTF-8 on the wire whatever the locale is."""
    host = bench.start(environment=os.environ | _LOCALE)
    room = "köşe-日本"
    host.send(bench.frame(meta={"room_id": room}).message)
    given = host.receive().get("room_id")
    if given != room:
        raise Broken(f"room_id {room!r} came back as {given!r} with LC_ALL={_LOCALE['LC_ALL']}")
    return f"works with LC_ALL={_LOCALE['LC_ALL']}"


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_time(value: Any) -> bool:
    """Whether it is a number of milliseconds."""
    return is_number(value) and value >= 0


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_models(models: Any) -> None:
    # Who has no models need not say so.
    if not isinstance(models, dict):
        raise Broken(f"ready.models is {models!r}, expected a map")
    for field in ("size", "file_640", "file_320"):
        if not isinstance(models.get(field), str | None):
            raise Broken(f"ready.models.{field} is {models[field]!r}, expected text or nil")
    hashes = models.get("sha256") or {}
    if not isinstance(hashes, dict):
        raise Broken(f"ready.models.sha256 is {hashes!r}, expected a map from file names to hashes")
    for name, value in hashes.items():
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise Broken(f"ready.models.sha256 of {name!r} is {value!r}, expected 64 hex digits")
