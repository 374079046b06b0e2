# SPDX-License-Identifier: MPL-2.0
"""Each command of the control plane: what it changes, from which frame on, and what is answered."""

import itertools
import json
from datetime import datetime, timedelta

import pytest
from node import RATE, forwarded, is_in_force_from, is_without_loss, person, size
from running import workers, zombies


def time_of(text: str) -> datetime:
    # Python reads microseconds, not nanoseconds.
    return datetime.fromisoformat(text[:26] + "+00:00")


def test_status_tells_health_state_and_configuration(node):
    node.wait_for_results(2)
    ack = node.done("get_status")
    data = ack["data"]
    assert data["health"] == {"status": "healthy", "reasons": []}
    assert data["paused"] is False and data["inference_rate_hz"] == RATE
    assert data["pending"] == []
    assert data["config"] == node.state()["config"]
    assert data["config"]["models"]["person_detector"]["size"] == "n"
    state = data["state"]
    assert state["broker"]["connected"] and state["stream"]["live"]
    (worker,) = state["workers"]
    assert worker["inferences_emitted"] >= 2
    assert [process["pid"] for process in worker["processes"]] == workers(node.program.pid)
    assert [book["element"] for book in state["ledger"]] == ["source", "roi", "infer", "sink"]
    assert "applied_at_seq" not in ack, "a question changes nothing"
    assert ack["revision"] == node.state()["revision"]


def test_a_pause_stops_results_until_it_is_resumed(node):
    revision = node.state()["revision"]
    ack = node.done("pause_inference")
    assert ack["data"] == {"paused": True} and ack["revision"] == revision + 1
    state = node.state()
    assert state["paused"] is True and state["revision"] == revision + 1
    before = forwarded(node)
    node.wait_until("frames of the camera", lambda: forwarded(node)["source"] >= before["source"] + 5)
    assert forwarded(node)["roi"] == before["roi"], "paused frames go nowhere"
    assert all(result["frame_seq"] < ack["applied_at_seq"] for result in node.results())

    with node.unchanged():
        assert node.refused("pause_inference") == "already paused"

    after = node.heard
    resumed = node.done("resume_inference")
    assert resumed["data"] == {"paused": False} and resumed["revision"] == revision + 2
    assert resumed["applied_at_seq"] >= ack["applied_at_seq"]
    first = node.wait_for_results(3, after)[0]
    assert first["frame_seq"] >= ack["applied_at_seq"]
    assert node.state()["paused"] is False
    with node.unchanged():
        assert node.refused("resume_inference") == "not paused"


@pytest.mark.parametrize("rate", [4.0, 20.0])
def test_the_rate_is_that_of_the_next_frames(node, rate):
    revision = node.state()["revision"]
    after = node.heard
    ack = node.done("set_inference_rate", {"rate_hz": rate})
    assert ack["data"]["rate_hz"] == rate and ack["data"]["expected_rate_hz"] == rate
    assert ack["revision"] == revision + 1
    state = node.state()
    assert state["inference_rate_hz"] == rate and state["revision"] == revision + 1
    assert state["config"]["models"]["person_detector"]["max_inference_rate_hz"] == rate

    def results() -> list[dict]:
        return [result for result in node.results(after) if result["frame_seq"] >= ack["applied_at_seq"]]

    found = node.wait_until("results", lambda: len(results()) >= 6 and results())
    # A number for each frame that the gate let pass, whether or not its result came.
    frames = found[-1]["frame_seq"] - found[0]["frame_seq"]
    seconds = (time_of(found[-1]["timestamp"]) - time_of(found[0]["timestamp"])).total_seconds()
    # The test picture's frames are 50 ms apart; a busy machine sends one late now and then.
    assert frames / seconds == pytest.approx(rate, abs=rate * 0.06 / seconds + 0.05 * rate)


def test_a_model_swap_is_answered_when_its_first_result_is_there(node):
    after, revision = node.heard, node.state()["revision"]
    (old,) = workers(node.program.pid)
    ack = node.done("set_model_size", {"size": "m"})
    assert ack["data"] == {"size": "m"} and ack["revision"] == revision + 1
    found = is_in_force_from(node, ack, lambda result: size(result) == "m", after, in_hand=0)
    assert found[0]["data"]["detections"][0]["confidence"] == pytest.approx(0.7)
    assert found[0]["frame_seq"] == ack["applied_at_seq"]
    stages = found[0]["stages"]
    answered = time_of(found[0]["timestamp"]) + timedelta(
        milliseconds=stages["queue_ms"] + stages["worker_ms"]
    )
    assert time_of(ack["timestamp"]) >= answered - timedelta(milliseconds=1)
    is_without_loss(node.results(after))
    event = node.wait_for_event("model_reloaded", after)
    assert event["model_size"] == "m" and event["applied_at_seq"] == ack["applied_at_seq"]
    assert node.state()["config"]["models"]["person_detector"]["size"] == "m"
    node.wait_until("the old worker's end", lambda: old not in workers(node.program.pid))
    assert len(workers(node.program.pid)) == 1 and zombies(node.program.pid) == []

    # What is in force already is answered at once and starts nothing.
    with node.unchanged():
        again = node.done("set_model_size", {"size": "m"})
        assert again["data"] == {"size": "m"} and again["revision"] == revision + 1


def test_any_key_can_be_changed(node):
    after, revision = node.heard, node.state()["revision"]
    ack = node.done("update_config", {"config": {"room_id": "bath"}})
    assert ack["data"] == {"changes": ["room_id"]} and ack["revision"] == revision + 1
    is_in_force_from(node, ack, lambda result: result["room_id"] == "bath", after)
    assert node.state()["config"]["room_id"] == "bath"

    # A setting that workers take without being replaced; model n is 90 % sure.
    pids = workers(node.program.pid)
    after = node.heard
    ack = node.done("update_config", person(confidence=0.95))
    assert ack["data"]["changes"] == ["models.person_detector.confidence"]
    # One frame may be at the worker and one before it.
    is_in_force_from(node, ack, lambda result: result["data"]["count"] == 0, after, in_hand=2)
    assert workers(node.program.pid) == pids


def test_null_brings_a_key_back_to_its_default(node):
    node.done("update_config", person(confidence=0.95, max_inference_rate_hz=8))
    ack = node.done("update_config", person(confidence=None, max_inference_rate_hz=None))
    assert len(ack["data"]["changes"]) == 2
    keys = node.state()["config"]["models"]["person_detector"]
    assert (keys["confidence"], keys["max_inference_rate_hz"]) == (0.5, 5)


def test_workers_are_replaced_without_losing_a_frame(node):
    for params in (None, {"worker": "infer"}):
        after, revision = node.heard, node.state()["revision"]
        node.wait_for_results(2, after)
        (old,) = workers(node.program.pid)
        ack = node.done("restart_worker", params)
        assert ack["revision"] == revision, "the configuration is the same"
        node.wait_until(
            "only the new worker", lambda old=old: len(new := workers(node.program.pid)) == 1 and new != [old]
        )
        node.wait_for_results(3)
        results = node.results(after)
        is_without_loss(results)
        assert any(result["frame_seq"] == ack["applied_at_seq"] for result in results)
        assert zombies(node.program.pid) == []


def test_commands_to_all_reach_every_daemon(node):
    after = node.heard
    request = node.request("set_inference_rate", {"rate_hz": 8})
    node.publish(json.dumps(request), "care/control/all")
    assert node.ack(request["id"], after=after)["status"] == "success"
    assert node.state()["inference_rate_hz"] == 8
    for topic in ("care/control/another", "care/control", "control/node_001"):
        node.publish(json.dumps(node.request("pause_inference")), topic)
    assert node.done("get_status")["data"]["paused"] is False


def test_results_and_answers_keep_their_order(node):
    after = node.heard
    ids = [node.send("get_status") for _ in range(20)]
    node.ack(ids[-1])
    answered = [said["id"] for said in node.said(after) if "command_ack" in said]
    assert answered == ids
    for before, later in itertools.pairwise(node.wait_for_results(10, after)):
        assert later["frame_seq"] > before["frame_seq"]


def test_a_shutdown_is_answered_told_and_clean(start):
    daemon = start(models={"person_detector": {"detector": "motion"}})
    daemon.wait_for_results(2)
    below = daemon.below()
    with_dry_run = daemon.done("shutdown", dry_run=True)
    assert with_dry_run["data"] == {"dry_run": True}
    daemon.wait_for_results(2)
    id = daemon.send("shutdown")
    assert daemon.program.wait(10) == 0, daemon.program.output
    told = [said.get("id") or said.get("reason") for said in daemon.said()]
    assert told[-2:] == [id, "shutdown command"]
    assert daemon.acks(id)[0]["data"] == {"stopping": True}
    assert daemon.retained("status") == b"stopped"
    daemon.leaves_nothing(below)
    daemon.books()
