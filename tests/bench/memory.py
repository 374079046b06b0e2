# SPDX-License-Identifier: MPL-2.0
"""Memory of the daemon and of its worker, and whether it grows over many frames."""

import time
from collections.abc import Iterator

from heard import hearing
from mqtt import Broker
from rows import Row, Target
from running import Program, children, workers
from setting import Setting
from usage import own_mib, resident_mib

BENCH = "memory"


def measure(setting: Setting) -> Iterator[Row]:
    """At work with a real network, then over many frames with a worker that answers at once."""
    yield from at_work(setting)
    yield from growth(setting)


def at_work(setting: Setting) -> Iterator[Row]:
    """The daemon with its defaults on the test picture, against ONNX Runtime with the same two networks."""
    looks = 50 if setting.quick else 600
    models = setting.model(640), setting.model(320)
    broker = Broker(setting.folder)
    broker.start()
    config = {
        "instance_id": "bench",
        "stream": {"warmup_duration_s": 0},
        "models": {"person_detector": {"model_path": str(models[0]), "model_path_320": str(models[1])}},
        "mqtt": {"uri": broker.uri},
        "http": {"bind": "127.0.0.1:0"},
    }
    try:
        with hearing(broker.port, "care/inferences/#") as heard, setting.daemon(config) as daemon:
            heard.wait_for(looks, daemon, 60 + looks)
            ours, worker = resident_mib(daemon.pid), resident_mib(workers(daemon.pid)[0])
    finally:
        broker.stop()
    bare = setting.floor(1, 20, *models)["resident_mib"]
    target = Target("ours", "at most", 60)
    yield Row(BENCH, "daemon, resident", "MB", ours * 1.048576, target=target, note=f"after {looks} looks")
    most = Target("ratio", "at most", 1.3)
    note = "partner: bare ONNX Runtime with the same pair"
    yield Row(BENCH, "worker, resident", "MB", worker * 1.048576, bare * 1.048576, worker / bare, most, note)


def growth(setting: Setting) -> Iterator[Row]:
    """Memory of their own, after a tenth of the frames and at the end."""
    frames = 10_000 if setting.quick else 100_000
    text = (
        f"videotestsrc pattern=black num-buffers={frames} ! video/x-raw,format=I420,width=640,height=480"
        f" ! orionroi ! orionpyinfer name=infer worker-command={setting.built}/orion-stub-worker"
        " ! fakesink sync=false"
    )
    samples: list[tuple[float, float, float]] = []
    with setting.pipeline(text) as program:
        start = time.perf_counter()
        while program.is_running() and time.perf_counter() - start < 600:
            if (found := sample(program)) is not None:
                samples.append((time.perf_counter() - start, *found))
            time.sleep(0.05)
        if program.wait(10) != 0:
            raise RuntimeError(program.output[-1000:])
    if len(samples) < 20:
        raise RuntimeError(f"only {len(samples)} looks at the memory; more frames are needed")
    took = samples[-1][0]
    early = [s for s in samples if 0.1 * took <= s[0] <= 0.3 * took]
    late = [s for s in samples if s[0] >= 0.8 * took]
    for at, name in ((1, "host"), (2, "worker (stub)")):
        before, after = (sorted(s[at] for s in part)[len(part) // 2] for part in (early, late))
        note = f"{frames} frames in {took:.0f} s, second tenth: {before:.1f} MiB, last fifth: {after:.1f} MiB"
        target = Target("ours", "at most", 1)
        yield Row(
            BENCH, f"growth of memory of its own, {name}", "MiB", after - before, target=target, note=note
        )


def sample(program: Program) -> tuple[float, float] | None:
    """Of host and worker; nothing while there is no worker."""
    try:
        stubs = [
            pid for pid, state, command in children(program.pid) if "stub-worker" in command and state != "Z"
        ]
        return (own_mib(program.pid), own_mib(stubs[0])) if stubs else None
    except (OSError, TypeError):
        return None
