# SPDX-License-Identifier: MPL-2.0
"""Control while the broker comes and goes; it forgets everything each time."""

import contextlib
import json
import signal
import time

from daemon import Daemon
from node import REGION, source

MOTION = {"models": {"person_detector": {"detector": "motion", "max_inference_rate_hz": 10}}}
BACK = 5.0
"""Seconds after which control must be back at the latest; the wait between two attempts begins at 0.2 s."""


def broker_comes_back(daemon) -> None:
    """Starts the broker again; another listener is there before the daemon, and misses nothing."""
    daemon.listener.close()
    daemon.program.signal(signal.SIGSTOP)
    try:
        daemon.broker.start()
        daemon.listener.__init__(daemon.broker.port)
    finally:
        daemon.program.signal(signal.SIGCONT)


def is_controllable(daemon) -> bool:
    id = daemon.send("get_status")
    with contextlib.suppress(AssertionError):
        return daemon.ack(id, seconds=0.5)["status"] == "success"
    return False


def test_after_each_restart_of_the_broker_it_is_controllable_and_its_state_is_kept(start):
    daemon = start(**MOTION)
    daemon.done("set_attention_rois", {"rois": [REGION]})
    daemon.done("set_inference_rate", {"rate_hz": 8})
    before = daemon.retained()
    for _ in range(3):
        daemon.broker.stop()
        broker_comes_back(daemon)
        began = time.monotonic()
        # The broker forgot it, and nobody changes anything.
        assert daemon.retained(seconds=BACK) == before
        daemon.wait_until("control", lambda: is_controllable(daemon), BACK)
        print(f"\nin control again {time.monotonic() - began:.2f} s after the broker")
        # Results have a connection of their own, which waits longer and longer for the broker.
        assert daemon.retained("status", 30) == b"online"
        assert daemon.wait_for_results(2, 0)
        assert daemon.done("get_status")["data"]["state"]["broker"]["connected"] is True
    ack = daemon.done("clear_attention_rois")
    assert ack["revision"] == json.loads(before)["revision"] + 1
    daemon.wait_for_result("no region", lambda result: source(result) == "")
    daemon.stop()


def test_commands_around_a_restart_are_carried_out_once_or_not_at_all(start):
    daemon = start(**MOTION)
    ids = [daemon.send("set_inference_rate", {"rate_hz": 5 + number}) for number in range(10)]
    swap = daemon.send("restart_worker")
    daemon.broker.stop()
    broker_comes_back(daemon)
    daemon.wait_until("control", lambda: is_controllable(daemon), BACK)
    # Whatever of it got through: nothing hangs, and what is told is what is in force.
    daemon.wait_until("nothing under way", lambda: daemon.done("get_status")["data"]["pending"] == [])
    status = daemon.done("get_status")["data"]
    state = daemon.state()
    assert state["inference_rate_hz"] == status["inference_rate_hz"] in (10.0, *range(5, 15))
    # The answer to what was under way comes with the new connection; those before it may have been heard.
    told = [said["id"] for said in daemon.said() if "command_ack" in said and said["id"] in (*ids, swap)]
    assert sorted(set(told), key=told.index) == told, "answered once on one connection"
    # A sender that got no answer asks again with the same id.
    after = daemon.heard
    daemon.publish(json.dumps({"command": "set_inference_rate", "params": {"rate_hz": 14}, "id": ids[-1]}))
    assert daemon.ack(ids[-1], after=after)["status"] == "success"
    daemon.stop()


def test_what_happens_without_a_broker_is_told_when_there_is_one(start):
    daemon = start(**MOTION)
    daemon.wait_for_results(2)
    swap = daemon.send("restart_worker")
    # The broker may end with a command that it has taken and not passed on.
    assert [one["command"] for one in daemon.done("get_status")["data"]["pending"]] == ["restart_worker"]
    daemon.broker.stop()
    new = daemon.program.wait_for_line("new workers since frame")
    daemon.write({**daemon.config, "room_id": "told later"})
    daemon.program.signal(signal.SIGHUP)
    daemon.program.wait_for_line("room_id changed")
    broker_comes_back(daemon)
    assert daemon.ack(swap, BACK)["status"] == "success"
    assert daemon.events("model_reloaded") and new
    assert daemon.wait_for_event("config_reloaded")["keys"] == ["room_id"]
    state = daemon.state()
    assert state["config"]["room_id"] == "told later" and state["revision"] == 2
    # The state comes first, then what was said, in its order.
    health = [said.get("command_ack") or said["event"] for said in daemon.said()]
    assert health.index("restart_worker") < health.index("config_reloaded")
    daemon.stop()


def test_a_daemon_that_starts_before_its_broker_is_controllable_when_it_comes(
    run, broker, listener, tmp_path
):
    listener.close()
    broker.stop()
    late = Daemon(run, broker, listener, tmp_path, MOTION, has_broker=False)
    late.program.wait_for_line(rf"127\.0\.0\.1:{broker.port}.*is mosquitto")
    broker.start()
    listener.__init__(broker.port)
    late.wait_until("the state", late.states, BACK)
    assert late.done("get_status")["status"] == "success"
    late.stop()


def test_two_daemons_on_one_broker_have_their_own_control(start, run, broker, listener, tmp_path):
    (tmp_path / "other").mkdir()
    one = start(**MOTION)
    other = Daemon(run, broker, listener, tmp_path / "other", {**MOTION, "instance_id": "node_002"})
    assert one.done("set_inference_rate", {"rate_hz": 7})["data"]["rate_hz"] == 7
    assert other.state()["inference_rate_hz"] == 10
    request = one.request("pause_inference")
    one.publish(json.dumps(request), "care/control/all")
    for daemon in (one, other):
        assert daemon.ack(request["id"])["status"] == "success"
        assert daemon.state()["paused"] is True
    one.stop()
    other.done("resume_inference")
    other.wait_for_results(2)
    other.stop()
