# SPDX-License-Identifier: MPL-2.0
"""From looks to findings, and to files: summary.txt, soak.json, soak.png."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import verdict
from account import Account, Losses, listed
from plan import Strike, row
from sampler import Look, Window
from slope import Life
from verdict import Finding

# What stands in the log of a run in which something is broken, whatever else is true.
BROKEN = ("panicked", "CRITICAL", "DOES NOT ADD UP")


def lives(looks: Sequence[Look], role: str, what: Callable[[Look], float], after: float) -> list[Life]:
    """By process, without the beginning of the run and of the process."""
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for look in looks:
        if look.role == role and look.at_s >= after and look.held.age_s >= verdict.YOUNG_S:
            found[look.pid].append((look.at_s, what(look)))
    return list(found.values())


def growth(looks: Sequence[Look], windows: Sequence[Window], seconds: float) -> list[Finding]:
    """Of what processes hold, and of latency; the first tenth is warming up."""
    after, long = seconds / 10, seconds >= verdict.SHORTEST_S
    findings = []
    for role in ("daemon", "worker", "broker"):
        own = lives(looks, role, lambda look: look.held.own_mib, after)
        resident = lives(looks, role, lambda look: look.held.resident_mib, after)
        least, share = verdict.MEMORY_MIB, verdict.MEMORY_SHARE
        findings.append(verdict.grows(f"{role}: own memory", "MiB", own, least, share, long))
        findings.append(verdict.grows(f"{role}: resident memory", "MiB", resident, least, share, long))
        files = lives(looks, role, lambda look: look.held.files, after)
        threads = lives(looks, role, lambda look: look.held.threads, after)
        findings.append(verdict.count(f"{role}: descriptors", files))
        findings.append(verdict.count(f"{role}: threads", threads))
    for name, what in (("p50", lambda window: window.p50_ms), ("p99", lambda window: window.p99_ms)):
        by_camera: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for window in windows:
            if window.at_s >= after:
                by_camera[window.camera].append((window.at_s, what(window)))
        # The slowest few of ten seconds are no measure of a drift, on a machine that does other things too.
        judged = long and name == "p50"
        least, share = verdict.LATENCY_MS, verdict.LATENCY_SHARE
        some = list(by_camera.values())
        findings.append(verdict.grows(f"latency {name}", "ms", some, least, share, judged))
    return findings


def losses(accounts: dict[str, Account], books: dict[str, Any]) -> tuple[list[Finding], dict[str, Losses]]:
    """Each camera's account, closed."""
    findings, closed = [], {}
    for camera in books:
        loss = closed[camera] = accounts.get(camera, Account()).close(books[camera])
        text = (
            f"{loss.heard} results ({loss.repeats} twice), {loss.missing} frames without one;"
            f" told: {listed(loss.told)};"
            f" of these by gap records: {listed(loss.recorded)}; in the books: {listed(loss.ledger)};"
            f" told as lost and heard: {loss.arrived}"
        )
        findings.append(verdict.none(f"{camera}: every frame accounted for", loss.problems, text))
    return findings, closed


def log(lines: Sequence[str]) -> Finding:
    wrong = [line for line in lines if any(word in line for word in BROKEN)]
    levels = Counter(word for line in lines for word in ("WARN", "ERROR") if f" {word} " in line)
    text = f"{len(lines)} lines, {levels['WARN']} warnings, {levels['ERROR']} errors"
    return verdict.none("daemon's log", wrong, text)


def faults(strikes: Sequence[Strike]) -> list[Finding]:
    name = lambda one: f"{one.began_s:.0f} s {one.kind} ({one.camera})"  # noqa: E731
    wrong = [f"{name(one)}: {one.problem}" for one in strikes if one.problem]
    kinds = Counter(one.kind for one in strikes)
    well = sorted(one.well_s for one in strikes if one.well_s is not None)
    text = f"{len(strikes)}: {listed(kinds)}"
    if well:
        text += f"; well again after {well[len(well) // 2]:.1f} s (median), {well[-1]:.1f} s (most)"
    return [verdict.none("all well again after each fault", wrong, text)]


def page(head: str, findings: Sequence[Finding], when: str) -> str:
    """The part of RELIABILITY.md, in Markdown."""
    first, _, rest = head.partition("\n")
    passed = "passed" if verdict.passed(findings) else "**failed**"
    rows = "".join(f"| {one.name} | {one.word} | {one.text.replace('|', '/')} |\n" for one in findings)
    return (
        f"## Hours\n\n{first[0].upper()}{first[1:]}, {when}: {passed}. {rest[0].upper()}{rest[1:]}.\n\n"
        "Real cameras (RTSP), mosquitto, the daemon and its workers, with a fault about every minute\n"
        f"(`make soak`). {verdict.BOUNDS[0].upper()}{verdict.BOUNDS[1:]}.\n\n"
        f"| what | | measured |\n|---|---|---|\n{rows}"
    )


def write(
    out: Path,
    head: str,
    findings: Sequence[Finding],
    strikes: Sequence[Strike],
    closed: dict[str, Losses],
    looks: Sequence[Look],
    windows: Sequence[Window],
    lost: Sequence[tuple[float, dict[str, dict[str, int]]]],
) -> str:
    """All files; the summary."""
    verdict_line = "PASSED" if verdict.passed(findings) else "FAILED"
    text = "\n".join([head, "", verdict.summary(findings), "", verdict.BOUNDS, verdict_line, ""])
    (out / "summary.txt").write_text(text)
    data = {
        "head": head,
        "passed": verdict.passed(findings),
        "findings": [asdict(one) for one in findings],
        "strikes": [row(one) for one in strikes],
        "losses": {camera: vars(loss) for camera, loss in closed.items()},
    }
    (out / "soak.json").write_text(json.dumps(data, indent=1))
    try:
        import matplotlib
    except ImportError:
        return text + "no plot: matplotlib is missing here (make python-dev)\n"
    matplotlib.use("Agg")
    import plot

    plot.draw(out / "soak.png", head, strikes, looks, windows, lost)
    return text
