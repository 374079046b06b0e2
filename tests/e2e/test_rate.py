# SPDX-License-Identifier: MPL-2.0
"""The rate changes while a camera runs: no gap longer than both periods, and what was asked for is got."""

import itertools
import subprocess
from datetime import datetime

import pytest
from daemon import Results
from running import BUILT, wait_for

FPS = 15
CAMERA = 1 / FPS
SLACK = 0.15

# Rates in their order, Hz, and how long each of them is watched, in seconds of the stream.
STEPS = [(1.0, 2.0), (5.0, 3.0), (0.5, 4.0), (2.5, 4.0), (30.0, 3.0), (1.0, 3.0)]


def has_codec(codec: str) -> bool:
    text = subprocess.run([BUILT / "orion-camera", "--help"], capture_output=True, text=True, check=True)
    return f"- {codec}:" in text.stdout


def seconds(result: dict) -> float:
    # Python reads microseconds, not nanoseconds.
    return datetime.fromisoformat(result["timestamp"][:26] + "+00:00").timestamp()


def gaps(results: Results) -> list[float]:
    """Seconds between two frames that passed; those in between that were lost later passed as well."""
    found = []
    for before, after in itertools.pairwise(results):
        numbers = after["frame_seq"] - before["frame_seq"]
        assert sum(after["lost_since_last"].values()) == numbers - 1
        assert set(after["lost_since_last"]) <= {"queue_full"}
        found.append((seconds(after) - seconds(before)) / numbers)
    return found


# H.264 says in the stream how many frames a second there are, JPEG does not.
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_the_rate_follows_each_command_without_a_gap(start, camera, codec):
    if not has_codec(codec):
        pytest.skip(f"orion-camera does not offer {codec} yet")
    address = camera("--codec", codec, "--fps", FPS, "--width", 320, "--height", 240)
    daemon = start(
        camera={"rtsp_url": address},
        stream={"fps": 30},
        models={"person_detector": {"detector": "motion", "max_inference_rate_hz": FPS}},
    )
    # Before the camera has told its time, frames have that of their arrival.
    clock = "camera"
    daemon.wait_for_result("the camera's clock", lambda result: result["clock_source"] == clock)
    rows, old = [], FPS
    for rate, watched in STEPS:
        after = daemon.heard
        ack = daemon.done("set_inference_rate", {"rate_hz": rate})
        first = ack["applied_at_seq"]

        def results(after=after, first=first) -> Results:
            return [result for result in daemon.results(after) if result["frame_seq"] >= first]

        def enough(watched=watched, results=results) -> bool:
            found = results()
            return len(found) >= 2 and seconds(found[-1]) - seconds(found[0]) >= watched - CAMERA

        daemon.wait_until(f"{watched} s at {rate} Hz", enough, watched + 20)
        found = results()
        last = [result for result in daemon.results() if result["frame_seq"] < first][-1]
        assert {result["clock_source"] for result in found} == {clock}
        longest = max(gaps([last, *found]))
        assert longest <= 1 / old + 1 / rate + CAMERA + SLACK, (old, rate)
        # At the first frame of the new rate its grid begins.
        numbers = found[-1]["frame_seq"] - found[0]["frame_seq"]
        got = numbers / (seconds(found[-1]) - seconds(found[0]))
        rows.append((rate, got, longest, len(found)))
        assert got == pytest.approx(min(rate, FPS), rel=0.05)
        if rate <= FPS:
            assert ack["data"]["limited_by"] is None and ack["data"]["expected_rate_hz"] == rate
        old = min(rate, FPS)
    print(f"\n{codec}: {'asked':>7}{'got':>8}{'longest gap':>13}{'results':>9}")
    for rate, got, longest, count in rows:
        print(f"{rate:13.1f}{got:8.3f}{longest:11.3f} s{count:9}")
    daemon.stop()


def test_a_rate_above_the_cameras_is_answered_with_the_cameras(start, camera):
    address = camera("--fps", FPS, "--width", 320, "--height", 240)
    daemon = start(
        camera={"rtsp_url": address},
        stream={"fps": 30, "warmup_duration_s": 2},
        models={"person_detector": {"detector": "motion"}},
    )
    daemon.wait_for_results(2)

    # A connection that has just been made delivers its first frames faster.
    def is_measured() -> bool:
        fps = daemon.done("get_status")["data"]["state"]["stream"]["fps"]
        return fps == pytest.approx(FPS, rel=0.05)

    wait_for("the camera is measured", is_measured)
    data = daemon.done("set_inference_rate", {"rate_hz": 30})["data"]
    assert data["rate_hz"] == 30 and data["limited_by"] == "camera"
    assert data["camera_fps"] == pytest.approx(FPS, rel=0.05)
    assert data["expected_rate_hz"] == pytest.approx(FPS, rel=0.05)
    data = daemon.done("set_inference_rate", {"rate_hz": 5})["data"]
    assert data["limited_by"] is None and data["expected_rate_hz"] == 5
