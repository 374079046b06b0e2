# SPDX-License-Identifier: MPL-2.0
"""What it costs to bring a picture to a Python worker and an answer back: shared memory against pipe.

Host and worker take turns on one picture after the other; the worker reads the message with the code of
`orion_worker` and touches the picture once a cache line. Both ways alternate in one run, as the speed of a
machine drifts. Run as `python tests/bench/transport.py [ROUNDS]`; times are medians in microseconds.

With `GST_PLUGIN_PATH` set to where `libgstorion.so` was built, also frames a second through the whole element
with the shipped motion detector, raw both ways and as JPEG, the encoder included.
"""

import fcntl
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models"))

import msgspec
import numpy as np

from orion_worker import wire
from orion_worker.conformance.checks_shared import SLOT_SIZE, SLOTS, Memory
from orion_worker.framing import frame
from orion_worker.ring import VARIABLE, Ring
from orion_worker.stdio import Channel

ELEMENT = {
    "raw, shared memory": "orionpyinfer transport=shm",
    "raw, pipe": "orionpyinfer transport=pipe",
    "JPEG": "jpegenc ! orionpyinfer transport=auto",
}
ELEMENT_SHORT, ELEMENT_LONG, ELEMENT_ROUNDS = 20, 320, 5

SIZES = {"60 kB (a JPEG)": 60_000, "640x480 rgb": 640 * 480 * 3, "1280x720 rgb": 1280 * 720 * 3}
META = {"instance_id": "a", "room_id": "", "seq": 0, "timestamp": "2025-01-01T00:00:00.000000001Z"}
CACHE_LINE = 64


def serve() -> None:
    """The worker's side."""
    channel, ring = Channel.claim(), Ring.claim()
    while (message := channel.receive()) is not None:
        given = wire.decode(message.body)
        if isinstance(given.shm, wire.Shared):
            data, lease = ring.view(given.shm, given.meta.seq)
        else:
            data, lease = given.frame_data, None
        total = int(np.frombuffer(data, np.uint8)[::CACHE_LINE].sum())
        del data, message
        if lease:
            ring.give_back(lease)
        channel.write(frame(msgspec.msgpack.encode({"type": "touched", "sum": total})))


def main(rounds: int) -> None:
    """The host's side; every sum is compared."""
    memory = Memory()
    worker = subprocess.Popen(
        [sys.executable, __file__, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        pass_fds=[memory.descriptor],
        env=os.environ | {VARIABLE: f"{memory.descriptor}:{SLOTS}:{SLOT_SIZE}"},
    )
    fcntl.fcntl(worker.stdin, fcntl.F_SETPIPE_SZ, 1 << 20)
    view = memory.bytes()
    for name, size in SIZES.items():
        picture = np.random.default_rng(7).integers(0, 256, size, np.uint8)
        data, expected = picture.tobytes(), int(picture[::CACHE_LINE].sum())
        message = {"type": "frame", "format": "rgb", "width": 0, "height": 0, "meta": META}
        inline = frame(msgspec.msgpack.encode(message | {"frame_data": data}))
        took: dict[str, list[float]] = {"shm": [], "pipe": []}
        for turn in range(rounds):
            for way in took:
                start = time.perf_counter()
                if way == "shm":
                    at = turn % SLOTS * SLOT_SIZE
                    view[at : at + size] = picture
                    shm = {"slot": turn % SLOTS, "offset": 0, "length": size}
                    send(worker, frame(msgspec.msgpack.encode(message | {"shm": shm})))
                else:
                    send(worker, inline)
                answer = receive(worker)
                took[way].append(1e6 * (time.perf_counter() - start))
                assert answer["sum"] == expected, (name, way, answer)
        # The first ones find no page in its place.
        shm, pipe = (statistics.median(times[rounds // 10 :]) for times in took.values())
        best = {way: min(times) for way, times in took.items()}
        print(
            f"{name:<15} shm {shm:7.0f} us (best {best['shm']:.0f})   pipe {pipe:7.0f} us (best "
            f"{best['pipe']:.0f})   {pipe / shm:.1f} times"
        )
    worker.stdin.close()
    worker.wait(10)


def elements() -> None:
    """Whole pipelines: what the longer run takes more than the shorter one is time for frames."""
    speeds: dict[str, list[float]] = {name: [] for name in ELEMENT}
    for _ in range(ELEMENT_ROUNDS):
        for name, element in ELEMENT.items():
            extra = seconds(element, ELEMENT_LONG) - seconds(element, ELEMENT_SHORT)
            speeds[name].append((ELEMENT_LONG - ELEMENT_SHORT) / extra)
    for name, found in speeds.items():
        print(f"{name:<20} {statistics.median(found):6.0f} frames/s")


def seconds(element: str, frames: int) -> float:
    """What so many frames take, start and stop included."""
    caps = "video/x-raw,format=BGR,width=1280,height=720,framerate=30/1"
    text = f"videotestsrc pattern=black num-buffers={frames} ! {caps} ! {element} detector=motion ! fakesink"
    start = time.perf_counter()
    subprocess.run(["gst-launch-1.0", "-q", *text.split()], check=True, timeout=300)
    return time.perf_counter() - start


def send(worker: subprocess.Popen[bytes], data: bytes) -> None:
    """All of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(worker.stdin.fileno(), rest) :]


def receive(worker: subprocess.Popen[bytes]) -> dict[str, int]:
    """The answer, which is short."""
    length = int.from_bytes(worker.stdout.read(4), "big")
    return msgspec.msgpack.decode(worker.stdout.read(length))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 500)
        if os.environ.get("GST_PLUGIN_PATH"):
            elements()
