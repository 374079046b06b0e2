# SPDX-License-Identifier: MPL-2.0
"""Several cameras in one daemon: each with its own topics and state, and cameras that come and go."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

from daemon import Daemon
from running import workers

MOTION = {"models": {"person_detector": {"detector": "motion", "max_inference_rate_hz": 5}}}


@contextlib.contextmanager
def addressed(daemon: Daemon, camera: str) -> Iterator[Daemon]:
    """Commands and answers are those of one camera."""
    whole, daemon.id = daemon.id, camera
    yield daemon
    daemon.id = whole


def fleet(start: Any, *ids: str, **config: Any) -> Daemon:
    return start(instance_id="ward", cameras=[{"instance_id": name} for name in ids], **MOTION, **config)


def seen(daemon: Daemon, camera: str, count: int = 3) -> None:
    with addressed(daemon, camera):
        for result in daemon.wait_for_results(count):
            assert result["instance_id"] == camera


def test_each_camera_has_its_own_results_state_and_commands(start):
    daemon = fleet(start, "ward-1", "ward-2")
    for camera in ("ward-1", "ward-2"):
        seen(daemon, camera)
    assert len(workers(daemon.program.pid)) == 2
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    for camera in ("ward-1", "ward-2"):
        with addressed(daemon, camera):
            (process,) = daemon.done("get_status")["data"]["state"]["workers"][0]["processes"]
            assert process["threads"] == share, "the cores are shared out"
    with addressed(daemon, "ward-1"):
        daemon.done("pause_inference")
        assert daemon.state()["paused"] is True
    with addressed(daemon, "ward-2"):
        assert daemon.state()["paused"] is False
        seen(daemon, "ward-2")
        assert daemon.refused("resume_inference") == "not paused"
    # To all of them at once: one wants it, the other one does not.
    after = daemon.heard
    daemon.publish(json.dumps({"command": "resume_inference", "id": "all"}), "care/control/all")
    statuses = {}
    for camera in ("ward-1", "ward-2"):
        with addressed(daemon, camera):
            statuses[camera] = daemon.ack("all", after=after)["status"]
    assert statuses == {"ward-1": "success", "ward-2": "error"}
    # The daemon itself.
    status = daemon.done("get_status")["data"]
    assert {camera["instance_id"] for camera in status["health"]["cameras"]} == {"ward-1", "ward-2"}
    assert "is for a camera" in daemon.refused("pause_inference")
    daemon.stop()
    assert [m for t, m in daemon.listener.messages if t == "care/status/ward-1"][-1] == "stopped"


def test_cameras_come_and_go_without_disturbing_the_others(start):
    daemon = fleet(start, "a")
    seen(daemon, "a")
    assert daemon.done("add_camera", {"camera": {"instance_id": "b"}})["data"] == {"instance_id": "b"}
    seen(daemon, "b")
    for camera, error in (
        ({"instance_id": "b"}, "instance_id"),
        ({"instance_id": "c", "camera": {"rtsp_ulr": "x"}}, "did you mean rtsp_url?"),
        (
            {"instance_id": "c", "camera": {"file": "/etc/passwd"}},
            "can only be set in the configuration's file",
        ),
        ({}, "instance_id"),
    ):
        assert error in daemon.refused("add_camera", {"camera": camera})
    assert "known are a, b" in daemon.refused("remove_camera", {"instance_id": "c"})
    assert "known are a, b" in daemon.refused("remove_camera", {"instance_id": "c"}, dry_run=True)
    after = daemon.heard
    daemon.done("remove_camera", {"instance_id": "a"})
    assert "is the last camera" in daemon.refused("remove_camera", {"instance_id": "b"})
    assert len(workers(daemon.program.pid)) == 1
    with addressed(daemon, "a"):
        assert daemon.events("stopping", after)[-1]["reason"] == "removed"
    assert [m for t, m in daemon.listener.messages if t == "care/status/a"][-1] == "stopped"
    assert [m for t, m in daemon.listener.messages if t == "care/state/a"][-1] in (b"", "", None)
    seen(daemon, "b")
    with addressed(daemon, "b"):
        numbers = [result["frame_seq"] for result in daemon.results()]
    assert numbers == sorted(numbers)
    assert [entry["instance_id"] for entry in daemon.state()["config"]["cameras"]] == ["b"]
    daemon.stop()


def test_the_file_adds_removes_and_changes_cameras(start):
    daemon = fleet(start, "a", "b")
    seen(daemon, "a")
    seen(daemon, "b")
    cameras = [
        {"instance_id": "b", "models": {"person_detector": {"max_inference_rate_hz": 2}}},
        {"instance_id": "c"},
    ]
    after = daemon.heard
    daemon.write({**daemon.config, "cameras": cameras})
    daemon.program.signal(signal.SIGHUP)
    seen(daemon, "c")
    with addressed(daemon, "b"):
        assert daemon.wait_for_event("config_reloaded", after)["keys"] == [
            "models.person_detector.max_inference_rate_hz"
        ]
    with addressed(daemon, "a"):
        assert daemon.wait_for_event("stopping", after)["reason"] == "removed"
    assert "ERROR" not in daemon.program.output
    daemon.stop()


def test_one_dead_camera_leaves_the_others_alone(start, camera):
    address = camera("--fps", 15, "--width", 320, "--height", 240)
    daemon = start(
        instance_id="ward",
        cameras=[
            {"instance_id": "dead", "camera": {"rtsp_url": "rtsp://127.0.0.1:9/x"}},
            {"instance_id": "alive", "camera": {"rtsp_url": address}},
        ],
        **MOTION,
    )
    with addressed(daemon, "dead"):
        assert daemon.wait_for_event("stream_lost")["cause"] == "refused"
    seen(daemon, "alive", 10)
    health = daemon.done("get_status")["data"]["health"]
    assert health["status"] == "degraded" and health["reasons"][0].startswith("dead: ")
    daemon.stop()


def test_a_camera_that_cannot_be_watched_is_told_of_and_the_others_go_on(start):
    broken = {"models": {"person_detector": {"worker_command": "/nowhere/worker"}}}
    daemon = start(
        instance_id="ward", cameras=[{"instance_id": "ward-1"}, {"instance_id": "ward-2", **broken}], **MOTION
    )
    with addressed(daemon, "ward-2"):
        event = daemon.wait_for_event("camera_failed")
        assert "/nowhere/worker" in event["reason"] and event["retry_s"] == 30, event
        presence = daemon.wait_until("its presence", lambda: json.loads(daemon.retained("presence")))
        assert (presence["state"], presence["reason"]) == ("unknown", "stopped")
        assert "/nowhere/worker" in daemon.refused("pause_inference")
    seen(daemon, "ward-1")
    health = daemon.done("get_status")["data"]["health"]
    assert health["status"] == "degraded" and any("ward-2" in reason for reason in health["reasons"]), health
    daemon.done("remove_camera", {"instance_id": "ward-2"})
    gone = lambda: [m for t, m in daemon.listener.messages if t == "care/presence/ward-2"][-1] == ""  # noqa: E731
    daemon.wait_until("nothing of it is kept", gone)
    daemon.stop()
