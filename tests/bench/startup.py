# SPDX-License-Identifier: MPL-2.0
"""Where the time of a worker's start goes, step by step, and the whole of it.

`python tests/bench/startup.py MODEL MODEL_320 PICTURE` is the child that takes the steps one after the other,
with the code of `orion_worker`, and prints the moments (s, of the machine's monotonic clock) as JSON.
"""

import time

STARTED = time.perf_counter()
"""Before anything else is imported."""

import itertools  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BENCH = "start"
STEPS = ("process", "imports", "load", "warm-up", "first result")


def child(model: Path, model_320: Path, picture: Path) -> None:
    """Takes the steps, with the pair that a worker loads."""
    moments = [STARTED]
    sys.path.insert(0, str(ROOT / "models"))
    import numpy as np

    from orion_worker import cli, images, wire  # noqa: F401  (all that a worker imports)
    from orion_worker.detector import Attention
    from orion_worker.options import Options
    from orion_worker.person import PersonDetector
    from orion_worker.session import Session

    moments.append(time.perf_counter())
    sessions = [Session.open(file, "cpu", 1, side) for file, side in ((model, 640), (model_320, 320))]
    moments.append(time.perf_counter())
    for session in sessions:
        width, height = session.input_size
        session.bind(np.zeros((1, 3, height, width), np.float32))()
    moments.append(time.perf_counter())
    cache = [session.cache for session in sessions]
    del sessions
    # The detector opens them again; that is no part of any step.
    options = Options(
        detector="auto",
        model=model,
        model_320=model_320,
        model_dir=model.parent,
        model_size="n",
        confidence=0.5,
        iou_threshold=0.45,
        labels=("person",),
        threads=1,
        execution_provider="cpu",
        log_level="error",
    )
    detector = PersonDetector(options)
    detector.load()
    start = time.perf_counter()
    detector.infer(images.decode(picture.read_bytes(), "jpeg", 0, 0), Attention())
    print(json.dumps({"moments": moments, "result": time.perf_counter() - start, "cache": cache}))


def steps(setting, cache: str) -> tuple[list[float], list[str]]:
    """Times of `STEPS`, ms, in a new process; and what became of the cache."""
    arguments = [setting.model(640), setting.model(320), picture_of(setting)]
    env = os.environ | {"ORION_MODEL_CACHE": cache, "OPENBLAS_NUM_THREADS": "1"}
    start = time.perf_counter()
    argv = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(argv, env=env, check=True, capture_output=True, text=True, timeout=120)
    found = json.loads(done.stdout.splitlines()[-1])
    moments = [start, *found["moments"]]
    spent = [later - earlier for earlier, later in itertools.pairwise(moments)]
    return [1e3 * one for one in [*spent, found["result"]]], found["cache"]


def picture_of(setting) -> Path:
    """A photo."""
    return sorted((setting.data / "photos" / "images").glob("*.jpg"))[0]


def whole(setting, cache: str) -> float:
    """From the start of a worker process to its first result over the pipe, ms."""
    sys.path.insert(0, str(ROOT / "tests" / "worker"))
    from worker_process import WorkerProcess, jpeg_message

    data = picture_of(setting).read_bytes()
    start = time.perf_counter()
    flags = ("--model", setting.model(640), "--model-320", setting.model(320), "--threads", 1)
    worker = WorkerProcess(*flags, ORION_MODEL_CACHE=cache)
    try:
        worker.ready()
        worker.ask(jpeg_message(data))
        return 1e3 * (time.perf_counter() - start)
    finally:
        worker.kill()


def measure(setting) -> Iterator["object"]:
    """Without a cache, with one that is empty, and with one that is filled."""
    from rounds import ratio
    from rows import Row

    rounds = 3 if setting.quick else 9
    found: dict[str, list[list[float]]] = {"off": [], "cold": [], "warm": []}
    totals: dict[str, list[float]] = {"off": [], "cold": [], "warm": []}
    wanted = {"off": "off", "cold": "made", "warm": "used"}
    for _ in range(rounds):
        setting.others.settle()
        with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
            for name, place in (("off", "off"), ("cold", folder), ("warm", folder)):
                spent, cache = steps(setting, place)
                if set(cache) != {wanted[name]}:
                    raise RuntimeError(f"the model cache was {cache}, expected {wanted[name]}")
                found[name].append(spent)
        with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
            for name, place in (("off", "off"), ("cold", folder), ("warm", folder)):
                totals[name].append(whole(setting, place))
    note = f"pair of networks, 1 thread, medians of {rounds} rounds"
    for at, step in enumerate(STEPS):
        if step != "load":
            times = [spent[at] for spent in found["warm"]]
            yield Row(BENCH, f"worker: {step}", "ms", statistics.median(times), note=note)
            continue
        off = [spent[at] for spent in found["off"]]
        for name in ("cold", "warm"):
            times = [spent[at] for spent in found[name]]
            middles = statistics.median(times), statistics.median(off)
            what = f"worker: {step}, {name} cache; partner: ORION_MODEL_CACHE=off"
            yield Row(BENCH, what, "ms", *middles, ratio(times, off), note=note)
    for name in ("cold", "warm"):
        middles = statistics.median(totals[name]), statistics.median(totals["off"])
        what = f"worker: start to first result, {name} cache; partner: ORION_MODEL_CACHE=off"
        yield Row(BENCH, what, "ms", *middles, ratio(totals[name], totals["off"]), note=note)


if __name__ == "__main__":
    child(*map(Path, sys.argv[1:4]))
