# SPDX-License-Identifier: MPL-2.0
"""Many frames: a host that reads slowly, answer times, memory, the amount of log."""

import time

from orion_worker.conformance.bench import Bench, Load
from orion_worker.conformance.host import Broken
from orion_worker.conformance.outcome import Doubtful

MIB = 1 << 20
GROWTH_BYTES = 16 * MIB
"""More than allocators and caches add once a worker has warmed up, less than 20 pictures of 640x480 px."""

LINES_PER_FRAME = 1.0
_SLOW_FRAMES = 40


def slow_reader(bench: Bench) -> str:
    """No answer is lost or torn when the host reads late and slowly through a small pipe."""
    host = bench.worker()
    host.shrink_output()
    host.is_slow = True
    frames = [bench.frame(step=number) for number in range(min(_SLOW_FRAMES, bench.frames))]
    try:
        for frame in frames:
            host.send(frame.message)
        for frame in frames:
            got = host.receive().get("frame_seq")
            if got != frame.seq:
                raise Broken(f"frame {got} was answered where {frame.seq} is due")
    finally:
        host.is_slow = False
    return f"{len(frames)} answers, read late and in small pieces"


def speed(bench: Bench) -> str:
    """Frames one after the other; nothing to fail but a missing answer."""
    load = _run(bench)
    ordered = sorted(load.times_ms)
    middle, late = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95))
    return f"answer after {middle:.1f} ms (p50), {late:.1f} ms (p95); {len(ordered)} frames of 640x480 px"


def memory(bench: Bench) -> str:
    """Memory does not grow with the number of frames."""
    load = bench.load or _run(bench)
    grown = f"{load.growth_bytes / MIB:+.1f} MB in {bench.frames - bench.frames // 3} frames"
    if load.growth_bytes > GROWTH_BYTES:
        raise Broken(f"resident memory {grown}, at most {GROWTH_BYTES / MIB:.0f} MB allowed")
    return f"{load.memory_bytes / MIB:.0f} MB resident, {grown}"


def log_volume(bench: Bench) -> str:
    """Standard error is for what is worth reading, not for a line or more a frame."""
    load = bench.load or _run(bench)
    text = f"{load.log_lines} lines on standard error in {bench.frames} frames"
    if load.log_lines > LINES_PER_FRAME * bench.frames:
        raise Doubtful(text)
    return text


def _run(bench: Bench) -> Load:
    host = bench.worker()
    frames, warm_up = bench.frames, bench.frames // 3
    lines, times, before = len(host.log()), [], 0
    for number in range(frames):
        if number == warm_up:
            before = host.memory_bytes()
        start = time.perf_counter()
        bench.result(bench.frame("", 640, 480, step=number))
        times.append(1e3 * (time.perf_counter() - start))
    after = host.memory_bytes()
    bench.load = Load(times, after - before, after, len(host.log()) - lines)
    return bench.load
