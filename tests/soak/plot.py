# SPDX-License-Identifier: MPL-2.0
"""A run as a picture: memory, descriptors and threads, latency, losses, and when what was done."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from plan import Strike
from sampler import Look, Window

COLOURS = {"camera": "tab:blue", "broker": "tab:red", "worker": "tab:orange", "command": "tab:green"}
ROLES = {"daemon": "black", "worker": "tab:orange", "broker": "tab:red"}


def family(kind: str) -> str:
    first = kind.replace("'s", "").split()[0]
    return first if first in COLOURS else "command"


def draw(
    file: Path,
    head: str,
    strikes: Sequence[Strike],
    looks: Sequence[Look],
    windows: Sequence[Window],
    lost: Sequence[tuple[float, dict[str, dict[str, int]]]],
) -> None:
    figure, axes = plt.subplots(5, 1, figsize=(14, 18), sharex=True, constrained_layout=True)
    figure.suptitle(head.splitlines()[0])
    own, daemon, counts, latency, losses = axes
    _processes(own, looks, "own_mib", ROLES)
    own.set_ylabel("own memory, MiB")
    _processes(daemon, looks, "own_mib", {"daemon": "black"})
    daemon.set_ylabel("the daemon alone, MiB")
    _processes(counts, looks, "files", {"daemon": "black", "broker": "tab:red"})
    _processes(counts, looks, "threads", {"daemon": "tab:blue"}, "threads")
    counts.set_ylabel("descriptors and threads")
    for number, camera in enumerate(sorted({window.camera for window in windows})):
        some = [window for window in windows if window.camera == camera]
        at = [window.at_s / 60 for window in some]
        latency.plot(at, [window.p50_ms for window in some], color=f"C{number}", label=f"{camera} p50")
        slowest = [window.p99_ms for window in some]
        latency.plot(at, slowest, color=f"C{number}", alpha=0.35, lw=0.8, label="p99")
    latency.set_yscale("log")
    latency.set_ylabel("capture to publish, ms")
    by_cause: dict[str, list[tuple[float, int]]] = defaultdict(list)
    every = sorted({cause for _, cameras in lost for causes in cameras.values() for cause in causes})
    for at, cameras in lost:
        for cause in every:
            by_cause[cause].append((at / 60, sum(causes.get(cause, 0) for causes in cameras.values())))
    for cause, points in by_cause.items():
        losses.step(*zip(*points, strict=True), where="post", label=cause)
    losses.set_ylabel("results lost so far, by cause")
    colours = ", ".join(f"{name} ({colour[4:]})" for name, colour in COLOURS.items())
    losses.set_xlabel(f"minutes; lines: faults of {colours}")
    for axis in axes:
        for strike in strikes:
            axis.axvline(strike.began_s / 60, color=COLOURS[family(strike.kind)], alpha=0.3, lw=0.8)
        axis.grid(alpha=0.2)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="upper left", fontsize="small", ncols=4)
    figure.savefig(file, dpi=90)
    plt.close(figure)


def _processes(axis: Axes, looks: Sequence[Look], what: str, roles: dict[str, str], label: str = "") -> None:
    """A line a process."""
    for role, colour in roles.items():
        by_pid: dict[int, list[Look]] = defaultdict(list)
        for look in looks:
            if look.role == role:
                by_pid[look.pid].append(look)
        for number, some in enumerate(by_pid.values()):
            values = [getattr(look.held, what) for look in some]
            name = f"{role} {label}".strip() if number == 0 else None
            axis.plot([look.at_s / 60 for look in some], values, color=colour, lw=1, label=name)
