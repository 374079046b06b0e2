# SPDX-License-Identifier: MPL-2.0
"""Several cameras in one daemon: changes that meet each other, and cameras that cannot be watched."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from typing import Any

from daemon import Daemon
from test_cameras import MOTION, addressed, seen

BROKEN = {"models": {"person_detector": {"worker_command": "/nowhere/worker"}}}


def hang(daemon: Daemon, camera: str) -> None:
    """Its worker keeps a frame for ever, so that the camera takes long to end."""

    def state() -> dict[str, Any]:
        return daemon.done("get_status")["data"]["state"]

    with addressed(daemon, camera):
        (worker,) = state()["workers"]
        for process in worker["processes"]:
            os.kill(process["pid"], signal.SIGSTOP)
        kept = lambda: next(book for book in state()["ledger"] if book["element"] == "infer")["in_flight"]  # noqa: E731
        daemon.wait_until("a frame that the worker keeps", kept)


def last(daemon: Daemon, topic: str) -> Any:
    said = [message for heard, message in daemon.listener.messages if heard == topic]
    return said[-1] if said else None


def get(daemon: Daemon, path: str) -> str:
    address = re.search(r"http://[\d.:]+", "\n".join(daemon.program.lines))
    assert address
    try:
        with urllib.request.urlopen(address[0] + path, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def test_a_camera_that_comes_back_at_once_is_online(start):
    daemon = start(
        instance_id="ward",
        cameras=[{"instance_id": "a"}, {"instance_id": "b"}],
        shutdown_timeout_s=2,
        **MOTION,
    )
    seen(daemon, "a")
    hang(daemon, "a")
    after = daemon.heard
    removal = daemon.send("remove_camera", {"instance_id": "a"})
    while (added := daemon.command("add_camera", {"camera": {"instance_id": "a"}}))["status"] != "success":
        assert "is being removed" in added["error"], added
    assert daemon.ack(removal, after=after)["status"] == "success"
    seen(daemon, "a")
    assert last(daemon, "care/status/a") == "online"
    daemon.stop()


def test_a_stop_while_a_camera_is_removed_answers_and_forgets(start):
    daemon = start(
        instance_id="ward",
        cameras=[{"instance_id": "a"}, {"instance_id": "b"}],
        shutdown_timeout_s=2,
        **MOTION,
    )
    seen(daemon, "a")
    daemon.wait_until("its presence", lambda: last(daemon, "care/presence/a"))
    hang(daemon, "a")
    after = daemon.heard
    removal = daemon.send("remove_camera", {"instance_id": "a"})
    daemon.wait_until("the removal", lambda: "camera a is watched no longer" in daemon.program.output)
    daemon.program.signal(signal.SIGTERM)
    assert daemon.program.wait(10) == 0, daemon.program.output
    assert daemon.acks(removal, after), daemon.program.output
    assert (last(daemon, "care/state/a"), last(daemon, "care/presence/a")) == ("", "")


def test_a_camera_that_could_not_be_added_leaves_nothing(start, tmp_path):
    folder = tmp_path / "kept"
    config = {"mqtt": {"buffer_directory": str(folder)}}
    daemon = start(instance_id="ward", cameras=[{"instance_id": "a"}], **MOTION, **config)
    seen(daemon, "a")
    (folder / "c").write_text("in the way")
    after = daemon.heard
    assert str(folder / "c") in daemon.refused("add_camera", {"camera": {"instance_id": "c"}})
    with addressed(daemon, "c"):
        daemon.publish(json.dumps({"command": "get_status", "id": 1}))
    daemon.done("get_status")
    assert last(daemon, "care/state/c") in (None, "")
    with addressed(daemon, "c"):
        assert daemon.said(after) == []
    daemon.stop()


def test_a_camera_of_the_file_that_cannot_be_watched_is_known(start):
    daemon = start(instance_id="ward", cameras=[{"instance_id": "a"}], http={"bind": "127.0.0.1:0"}, **MOTION)
    seen(daemon, "a")
    daemon.write({**daemon.config, "cameras": [{"instance_id": "a"}, {"instance_id": "b", **BROKEN}]})
    daemon.program.signal(signal.SIGHUP)
    with addressed(daemon, "b"):
        daemon.wait_for_event("camera_failed")
    readiness = json.loads(get(daemon, "/readiness"))
    assert readiness["status"] == "degraded", readiness
    assert any("/nowhere/worker" in reason for reason in readiness["reasons"]), readiness["reasons"]
    metrics = get(daemon, "/metrics")
    assert 'orion_stream_up{instance_id="b"} 0' in metrics
    assert 'orion_stream_up{instance_id="a"} 1' in metrics
    daemon.stop()


def test_a_camera_that_the_file_mends_is_broken_no_more(start):
    cameras = [{"instance_id": "a"}, {"instance_id": "b", **BROKEN}]
    daemon = start(instance_id="ward", cameras=cameras, **MOTION)
    with addressed(daemon, "b"):
        daemon.wait_for_event("camera_failed")
    daemon.write({**daemon.config, "cameras": [{"instance_id": "a"}, {"instance_id": "b"}]})
    daemon.program.signal(signal.SIGHUP)
    seen(daemon, "b")
    with addressed(daemon, "b"):
        after = daemon.heard
        asked = daemon.send("get_status")
        daemon.id = "ward"
        daemon.done("get_status")
        daemon.id = "b"
        assert [ack["status"] for ack in daemon.acks(asked, after)] == ["success"]
    daemon.stop()


def test_all_are_shut_down_even_if_none_can_be_watched(start):
    daemon = start(
        instance_id="ward", cameras=[{"instance_id": "a", **BROKEN}, {"instance_id": "b", **BROKEN}]
    )
    for camera in ("a", "b"):
        with addressed(daemon, camera):
            daemon.wait_for_event("camera_failed")
    daemon.publish(json.dumps({"command": "shutdown"}), "care/control/all")
    assert daemon.program.wait(10) == 0, daemon.program.output


def test_a_camera_that_broke_is_not_said_to_stream(start):
    cameras = [{"instance_id": "a"}, {"instance_id": "b", **BROKEN}]
    daemon = start(instance_id="ward", cameras=cameras, http={"bind": "127.0.0.1:0"}, **MOTION)
    with addressed(daemon, "b"):
        daemon.wait_for_event("camera_failed")
    seen(daemon, "a")
    assert 'orion_stream_up{instance_id="b"} 0' in get(daemon, "/metrics")
    reasons = json.loads(get(daemon, "/readiness"))["reasons"]
    assert any("/nowhere/worker" in reason for reason in reasons), reasons
    daemon.stop()


def test_a_file_that_changes_what_only_a_restart_can_changes_no_camera(start):
    daemon = start(instance_id="ward", cameras=[{"instance_id": "a"}, {"instance_id": "b"}], **MOTION)
    seen(daemon, "a")
    before, after = daemon.state(), daemon.heard
    mqtt = {**daemon.config["mqtt"], "prefix": "elsewhere"}
    daemon.write({**daemon.config, "mqtt": mqtt, "cameras": [{"instance_id": "a"}, {"instance_id": "c"}]})
    daemon.program.signal(signal.SIGHUP)
    with addressed(daemon, "a"):
        problems = daemon.wait_for_event("config_rejected", after)["problems"]
    assert "mqtt.prefix" in problems[0], problems
    status = daemon.done("get_status")["data"]
    assert {camera["instance_id"] for camera in status["health"]["cameras"]} == {"a", "b"}
    assert daemon.state()["config"] == before["config"]
    daemon.stop()


def test_what_one_camera_has_shown_is_not_said_of_another(start, camera):
    night, ball = (camera("--pattern", pattern, "--fps", 10) for pattern in ("night", "ball"))
    presence = {"absent_after_s": 1, "evidence_timeout_s": 20}
    daemon = start(camera={"rtsp_url": night}, presence=presence, **MOTION)
    topic = daemon.topic("presence")
    said = lambda after: [message for heard, message in daemon.listener.messages[after:] if heard == topic]  # noqa: E731
    daemon.wait_until("nobody", lambda: [told for told in said(0) if told["state"] == "absent"])
    # Changes are said five times a second at most.
    daemon.wait_for_results(3)
    after = daemon.heard
    daemon.done("update_config", {"config": {"camera": {"rtsp_url": ball}}})
    daemon.wait_until("somebody", lambda: [told for told in said(after) if told["state"] == "present"])
    assert (said(after)[0]["state"], said(after)[0].get("reason")) == ("unknown", "starting"), said(after)
    daemon.stop()


def test_what_was_said_counts_no_more_after_nobody_has_looked(start, camera):
    night = camera("--pattern", "night", "--fps", 10)
    daemon = start(
        camera={"rtsp_url": night}, presence={"absent_after_s": 1, "evidence_timeout_s": 20}, **MOTION
    )
    topic = daemon.topic("presence")
    said = lambda after: [message for heard, message in daemon.listener.messages[after:] if heard == topic]  # noqa: E731
    daemon.wait_until("nobody", lambda: [told for told in said(0) if told["state"] == "absent"])
    daemon.done("update_config", {"config": {"presence": {"enabled": False}}})
    daemon.wait_until("silence", lambda: last(daemon, topic) == "")
    after = daemon.heard
    daemon.done("update_config", {"config": {"presence": {"enabled": True, "absent_after_s": 1.5}}})
    daemon.wait_until("nobody", lambda: [told for told in said(after) if told["state"] == "absent"])
    assert [told["state"] for told in said(after)] == ["unknown", "absent"], said(after)
    daemon.stop()
