# SPDX-License-Identifier: MPL-2.0
"""All checks in the order in which they run. Their names are stable: scripts may rely on them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from orion_worker.conformance import (
    checks_end,
    checks_frames,
    checks_input,
    checks_load,
    checks_results,
    checks_shared,
    checks_start,
)
from orion_worker.conformance.bench import Bench
from orion_worker.conformance.host import Broken
from orion_worker.conformance.outcome import FAIL, PASS, SKIP, WARN, Doubtful, Outcome, Skipped
from orion_worker.conformance.pictures import FORMATS


@dataclass(frozen=True, slots=True)
class Check:
    """A rule: `run` returns what was seen, or raises `Broken`, `Doubtful` or `Skipped`.

    Without a `vital` one nothing that follows could be judged.
    """

    name: str
    run: Callable[[Bench], str]
    vital: bool = False


CHECKS = (
    Check("stdout", checks_start.stdout, vital=True),
    Check("ready", checks_start.ready),
    Check("formats", checks_frames.formats),
    Check("host-arguments", checks_start.host_arguments),
    Check("empty-environment", checks_start.empty_environment),
    Check("locale", checks_start.locale),
    *(Check(f"format-{name}", partial(checks_frames.picture_format, encoding=name)) for name in FORMATS),
    Check("region", checks_frames.region),
    Check("no-type", checks_frames.no_type),
    Check("unknown-fields", checks_frames.unknown_fields),
    Check("two-at-once", checks_frames.two_at_once),
    Check("bad-jpeg", checks_input.bad_jpeg),
    Check("bad-raw", checks_input.bad_raw),
    Check("huge-jpeg", checks_input.huge_declared_jpeg),
    Check("garbage", checks_input.garbage),
    Check("commands", checks_input.commands),
    Check("json-line", checks_input.json_line),
    Check("shared-memory", checks_shared.shared_memory),
    Check("slow-reader", checks_load.slow_reader),
    Check("speed", checks_load.speed),
    Check("memory", checks_load.memory),
    Check("log-volume", checks_load.log_volume),
    # These judge every result of the checks above.
    Check("echo", checks_results.echo),
    Check("result-type", checks_results.result_type),
    Check("fields", checks_results.fields),
    Check("boxes", checks_results.boxes),
    Check("timing", checks_results.timing),
    Check("end-of-input", checks_end.end_of_input),
    Check("end-inside-message", checks_end.end_inside_message),
    Check("long-length", checks_end.long_length),
    Check("sigterm", checks_end.sigterm),
)


def run_all(bench: Bench) -> Iterator[Outcome]:
    """Run every check; after a vital one that failed the rest is skipped.

    Raises:
        OSError: the worker's program cannot be started.
    """
    missing = ""
    for check in CHECKS:
        if missing:
            yield Outcome(check.name, SKIP, f"needs {missing}")
            continue
        outcome = _run(check, bench)
        yield outcome
        if check.vital and outcome.result == FAIL:
            missing = check.name


def _run(check: Check, bench: Bench) -> Outcome:
    try:
        return Outcome(check.name, PASS, check.run(bench))
    except Skipped as reason:
        return Outcome(check.name, SKIP, str(reason))
    except Doubtful as reason:
        return Outcome(check.name, WARN, str(reason))
    except Broken as reason:
        log = bench.last_log_line()
        # What it does after a broken rule says nothing about the next one.
        bench.stop_all()
        return Outcome(check.name, FAIL, f"{reason}" + (f"; its log ends with: {log[:300]}" if log else ""))
