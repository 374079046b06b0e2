# SPDX-License-Identifier: MPL-2.0
"""Runs the benches, prints one table, and writes it with the machine's description to BENCHMARKS.md.

Figures are ratios against partners of the same run, as machines drift. Exit status: 0 all ran, 1 a bench
failed (its line says why), 2 the command line or the data is wrong. A target that is missed is no failure.
`make build setup` makes what this runs.
"""

import argparse
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import machine  # noqa: E402  (these need the path above)
import onnxinference  # noqa: E402
from rows import Row, as_markdown, as_text, lines_of  # noqa: E402
from setting import Setting, default_data  # noqa: E402


def bench(module: str, function: str = "measure", **arguments: object) -> Callable[[Setting], Iterable[Row]]:
    """A module's `measure`, imported when it is wanted."""
    return lambda setting: getattr(importlib.import_module(module), function)(setting, **arguments)


BENCHES: dict[str, Callable[[Setting], Iterable[Row]]] = {
    "rate-640": bench("rate", side=640),
    "rate-320": bench("rate", side=320),
    "ways-640": bench("rate", "measure_without", side=640),
    "ways-320": bench("rate", "measure_without", side=320),
    "latency": bench("latency"),
    "live": bench("live"),
    "elements": bench("elements"),
    "idle": bench("idle"),
    "memory": bench("memory"),
    "start": bench("startup"),
    "worker": bench("worker_path"),
    "cameras": bench("scaling"),
    "onnxinference": bench("onnxinference"),
}

REPORTS = {
    "attention": ["{python}", "tests/bench/attention.py", "--data", "{data}"],
    "batches": ["{python}", "tests/bench/batches.py", "--data", "{data}"],
    "transport": ["{python}", "tests/bench/transport.py"],
    "throughput": ["cargo", "test", "--package", "gst-orion", "--test", "throughput", "--", "--nocapture"],
    "worker faults": [
        *("cargo", "test", "--package", "gst-orion", "--test", "worker_faults"),
        *("--", "--nocapture", "--test-threads", "1"),
    ],
    "publish": ["cargo", "bench", "--package", "gst-orion", "--bench", "publish"],
    "workers": ["cargo", "bench", "--package", "gst-orion", "--bench", "workers", "--", "{data}"],
    "page": ["{python}", "tests/bench/page.py", "--data", "{data}"],
}
"""Further measurements with texts of their own, for `--all`."""


def main() -> int:
    """Read the command line, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*BENCHES], metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--quick", action="store_true", help="shorter runs; figures are rougher")
    parser.add_argument("--all", action="store_true", help="also the reports: " + ", ".join(REPORTS))
    default = default_data(ROOT)
    parser.add_argument("--data", type=Path, default=default, metavar="DIR", help="default: %(default)s")
    built = ROOT / "target" / "release"
    parser.add_argument("--built", type=Path, default=built, metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: BENCHMARKS.md if nothing is left out"
    )
    options = parser.parse_args()
    # So that what benches have started ends with them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if problem := missing(options.data, options.built):
        print(problem, file=sys.stderr)
        return 2
    description = machine.describe(options.built)
    print(description, flush=True)
    # That one needs a newer GStreamer than most have.
    names = options.only or [
        name for name in BENCHES if name != "onnxinference" or onnxinference.ROOT in os.environ
    ]
    out = options.out or (ROOT / "BENCHMARKS.md" if not options.only else None)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="orion-bench-") as folder:
        setting = Setting(options.data.resolve(), options.built.resolve(), Path(folder), options.quick)
        for name in names:
            rows += one(name, setting)
            if out:  # as long as they take, what is done is kept
                old = out.read_text() if out.is_file() else ""
                done = {row.bench for row in rows}
                kept = [line for other in BENCHES if other not in done for line in lines_of(old, [other])]
                out.write_text(page(description, rows, kept))
    print(f"\n{as_text(rows)}")
    good = not any(row.failed for row in rows)
    if options.all:
        good &= all([report(name, options.data.resolve(), setting.built) for name in REPORTS])
    return 0 if good else 1


def missing(data: Path, built: Path) -> str:
    """What is not there, with a remedy; empty if all is."""
    if not (data / "models").is_dir() or not (data / "clips").is_dir():
        return f"no models and clips in {data}: give --data or set ORION_TEST_DATA"
    needed = ("orion-launch", "orion-camera", "orion-stub-worker", "libgstorion.so")
    gone = [name for name in needed if not (built / name).exists()]
    return f"{', '.join(gone)} not in {built}: run `make build`, or give --built" if gone else ""


def one(name: str, setting: Setting) -> list[Row]:
    """Lines of one bench. Whatever goes wrong in it is a line too, behind those it had made."""
    print(f"{time.strftime('%H:%M:%S')} {name} …", file=sys.stderr, flush=True)
    rows: list[Row] = []
    trouble, when = "", f"{time.strftime('%m-%d %H:%M', time.gmtime())}, load {os.getloadavg()[0]:.1f}"
    try:
        for row in BENCHES[name](setting):
            row = replace(row, when=when)
            if disturbed := setting.others.told():
                trouble = disturbed
            if trouble:
                row = replace(row, disturbed=True, note="; ".join(filter(None, (row.note, trouble))))
            rows.append(row)
            print(as_text([row]).splitlines()[1], flush=True)
        if not rows:
            raise RuntimeError("it gave no figures")
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        print(f"{name}: {told}", file=sys.stderr, flush=True)
        rows.append(Row.failure(name, told))
    return rows


def report(name: str, data: Path, built: Path) -> bool:
    """Runs a report; whether that worked."""
    words = [word.format(python=sys.executable, data=data) for word in REPORTS[name]]
    if words[0] == "cargo":
        words[2:2] = [*(["--release"] if words[1] == "test" else []), "--locked", "--quiet"]
    print(f"\n== {name}", flush=True)
    env = os.environ | {"GST_PLUGIN_PATH": str(built.parent / "plugins"), "ORION_BUILT": str(built)}
    return subprocess.run(words, cwd=ROOT, env=env, check=False).returncode == 0


def page(description: str, rows: list[Row], kept: list[str]) -> str:
    """BENCHMARKS.md."""
    table = as_markdown(rows, kept)
    met, missed, open_ = (table.count(f"| {word} |") for word in ("yes", "NO", "?"))
    return f"""<!-- SPDX-License-Identifier: MPL-2.0 -->
# Benchmarks

Written by `make bench` (`tests/bench/run.py`): {met} targets are met, {missed} are missed, {open_} are open
because other programs were busy (DISTURBED). A ratio is ours / partner, as the median over rounds in which
both took turns, so it need not be that of the medians beside it. The floor is ONNX Runtime alone in a loop
(session.run), with threads that spin or not, whichever is faster; the plain script is
`tests/bench/plain_script.py`. GStreamer's own onnxinference needs GStreamer 1.28: its lines come from a run
with another system's root (`tests/bench/onnxinference.py` says how); there are none without it.

{description}

{table}
"""


if __name__ == "__main__":
    sys.exit(main())
