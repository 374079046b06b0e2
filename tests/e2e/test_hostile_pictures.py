# SPDX-License-Identifier: MPL-2.0
"""Damaged and hostile JPEGs through all three elements: the good frames between them are all answered."""

import random
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from running import Program, children, wait_for, workers

MIB = 1024 * 1024
SIZE = (96, 64)


@dataclass
class Run:
    """What came of a pipeline: results by number of frame, and the most memory of host and worker, bytes."""

    results: dict[int, dict]
    output: str
    host: int
    worker: int


def good(seed: int = 0) -> bytes:
    """A JPEG with noise in it, so that most of its bytes mean something."""
    noise = np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    return cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()


def announcing(width: int, height: int) -> bytes:
    """A JPEG whose header announces that size."""
    data = good()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def truncated(data: bytes, count: int, seed: int) -> list[bytes]:
    """The first part of it, of any length but 0, which is no buffer."""
    dice = random.Random(seed)
    return [data[: dice.randrange(1, len(data))] for _ in range(count)]


def flipped(data: bytes, count: int, seed: int) -> list[bytes]:
    """With some of its bits the other way round."""
    dice = random.Random(seed)
    bad = []
    for _ in range(count):
        copy = bytearray(data)
        for _ in range(dice.randrange(1, 9)):
            copy[dice.randrange(len(copy))] ^= 1 << dice.randrange(8)
        bad.append(bytes(copy))
    return bad


def memory(pid: int) -> int:
    """The most that it has used, bytes; 0 once it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


@pytest.fixture
def through(run, broker, listener, tmp_path) -> Callable[..., Run]:
    """Sends JPEGs through the elements, a good one before and after each; the last good one is no. 2n."""

    def send(hostile: Iterable[bytes], *options: str, seconds: float) -> Run:
        hostile = list(hostile)
        fine = good()
        for number, data in enumerate(hostile):
            (tmp_path / f"{2 * number:05}.jpg").write_bytes(fine)
            (tmp_path / f"{2 * number + 1:05}.jpg").write_bytes(data)
        last = 2 * len(hostile)
        (tmp_path / f"{last:05}.jpg").write_bytes(fine)
        program: Program = run(
            "gst-launch-1.0", "multifilesrc", f"location={tmp_path}/%05d.jpg",
            "caps=image/jpeg,framerate=30/1", "!", "orionroi", "!", "orionpyinfer", *options,
            "!", "orionmqttsink", f"uri={broker.uri}",
        )  # fmt: skip
        wait_for("a worker", lambda: workers(program.pid) or not program.is_running())
        pids = workers(program.pid)
        most = {pid: 0 for pid in (program.pid, *pids)}

        def ended() -> bool:
            for pid in most:
                most[pid] = max(most[pid], memory(pid))
            return not program.is_running()

        wait_for("the end of the stream", ended, seconds)
        assert program.wait(10) == 0, program.output
        assert children(program.pid) == []
        wait_for("the last result", lambda: any(r["frame_seq"] == last for _, r in listener.messages))
        heard = [result for _, result in listener.messages if "frame_seq" in result]
        numbers = [result["frame_seq"] for result in heard]
        assert numbers == sorted(set(numbers)), "each frame is answered once, in order"
        assert "started again" not in program.output, program.output
        return Run(
            {result["frame_seq"]: result for result in heard},
            program.output,
            most[program.pid],
            max(most[pid] for pid in pids),
        )

    return send


def assert_good_ones_are_answered(run: Run, hostile: int) -> None:
    """And each bad one is either answered or counted as lost."""
    assert set(range(0, 2 * hostile + 1, 2)) <= set(run.results)
    for number in range(0, 2 * hostile + 1, 2):
        data = run.results[number]["data"]["metadata"]
        assert (data["frame_width"], data["frame_height"]) == SIZE, number
    lost = sum(sum(result["lost_since_last"].values()) for result in run.results.values())
    assert len(run.results) + lost == 2 * hostile + 1
    causes = {cause for result in run.results.values() for cause in result["lost_since_last"]}
    assert causes <= {"decode_error", "worker_error"}, causes


def test_damaged_jpegs_cost_themselves_only(through):
    fine = good(1)
    huge = [announcing(60000, 60000), announcing(65535, 65535), announcing(8192, 4320), announcing(0, 0)]
    odd = [
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"GIF89a" * 9,
        bytes(range(256)),
        b"\xff\xd8" + b"\xff" * 4096,
    ]
    hostile = huge + odd + truncated(fine, 12, 1) + flipped(fine, 20, 2)
    run = through(hostile, "detector=motion", seconds=60)
    assert_good_ones_are_answered(run, len(hostile))
    bad = [2 * number + 1 for number in range(len(hostile)) if number < len(huge + odd) + 12]
    # Of those with a flipped bit some can be decoded; of the others none.
    assert not set(bad) & set(run.results)
    assert run.host < 300 * MIB and run.worker < 400 * MIB, (run.host // MIB, run.worker // MIB)


def test_all_jpegs_made_to_break_decoders_cost_themselves_only(through, data_dir):
    files = [file.read_bytes() for file in sorted((data_dir / "jpeg").glob("*.jpg"))]
    assert len(files) == 183
    cut = [
        data[: random.Random(n).randrange(1, len(data))] for n, data in enumerate(files[::6]) if len(data) > 1
    ]
    hostile = [data for data in files if data] + cut
    model = data_dir / "models" / "yoloxn_fp32_320.onnx"
    run = through(hostile, f"model-file={model}", "intra-op-threads=1", seconds=150)
    assert_good_ones_are_answered(run, len(hostile))
    answered = [number for number in run.results if number % 2]
    memory = f"host {run.host // MIB} MiB, worker {run.worker // MIB} MiB"
    print(f"{len(hostile)} hostile, {len(answered)} answered, {memory}")
    assert len(answered) < len(hostile) / 2, "most cannot be decoded"
    assert run.host < 400 * MIB and run.worker < 700 * MIB, (run.host // MIB, run.worker // MIB)
