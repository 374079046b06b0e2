# SPDX-License-Identifier: MPL-2.0
"""The floor: ONNX Runtime and nothing else. No camera, no picture, no message; nobody can be faster.

`python tests/bench/floor.py THREADS RUNS MODEL...` runs each model so often on the same input, half of it
with threads that spin and half with threads that do not. It prints a line of JSON: frames a second and CPU ms
a frame of the last model in the faster half, and resident memory in MiB.
"""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort


def main(threads: int, runs: int, models: list[str]) -> None:
    """Opens all, then runs all, in both ways."""
    found = []
    for spin in ("1", "0"):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", spin)
        sessions = [
            ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]) for model in models
        ]
        for session in sessions:
            fps, cpu_ms = speed(session, runs // 2)
        # Before there is a second set of them.
        found.append((fps, cpu_ms, resident_mib()))
    fps, cpu_ms, _ = max(found)
    print(json.dumps({"fps": fps, "cpu_ms": cpu_ms, "resident_mib": found[0][2]}))


def speed(session: ort.InferenceSession, runs: int) -> tuple[float, float]:
    """Frames a second and CPU ms a frame."""
    given = session.get_inputs()[0]
    blob = np.random.default_rng(1).random(given.shape, np.float32)
    for _ in range(max(1, runs // 5)):
        session.run(None, {given.name: blob})
    start, used = time.perf_counter(), time.process_time()
    for _ in range(runs):
        session.run(None, {given.name: blob})
    return runs / (time.perf_counter() - start), 1e3 * (time.process_time() - used) / runs


def resident_mib() -> float:
    """Of this process, now."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
