# SPDX-License-Identifier: MPL-2.0
"""Home Assistant finds each camera, reads it rightly, and sets it; what is gone goes there, too."""

import json
import signal
from typing import Any

import contract
import home_assistant
import pytest
from daemon import Daemon
from home_assistant import UNKNOWN, rendered, state
from mqtt import kept
from node import config as node_config
from running import wait_for
from test_control_broker import BACK, broker_comes_back

ON = {"mqtt": {"home_assistant": {"enabled": True}}}
MOTION = {"models": {"person_detector": {"detector": "motion", "max_inference_rate_hz": 5}}}
ADDRESS = "homeassistant/device/orion_{}/config"

SINCE = {"instance_id": "a", "since": "s", "timestamp": "t"}
PRESENT = {**SINCE, "state": "present", "count": 2, "evidence_age_ms": 40}
ABSENT = {**SINCE, "state": "absent", "count": 0, "evidence_age_ms": 90}


def unknown(reason: str, age: int | None = 100, **more: str) -> dict[str, Any]:
    return {**SINCE, "state": "unknown", "count": 0, "evidence_age_ms": age, "reason": reason, **more}


# A presence; person, count, whether the camera has a problem, and what it is.
READ = [
    (PRESENT, "ON", "2", "OFF", "ok"),
    (ABSENT, "OFF", "0", "OFF", "ok"),
    (unknown("starting", None), UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    (unknown("starting"), UNKNOWN, UNKNOWN, "OFF", "ok"),
    (unknown("stopped"), UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    (unknown("paused"), UNKNOWN, UNKNOWN, "OFF", "ok"),
    (unknown("no_worker"), UNKNOWN, UNKNOWN, "OFF", "ok"),
    (unknown("evidence_too_old"), UNKNOWN, UNKNOWN, "OFF", "ok"),
    (unknown("frozen"), UNKNOWN, UNKNOWN, "ON", "frozen"),
    (unknown("black"), UNKNOWN, UNKNOWN, "ON", "black"),
    (unknown("stream_lost", None, cause="refused"), UNKNOWN, UNKNOWN, "ON", "refused"),
    (unknown("stream_lost", cause="wrong_codec"), UNKNOWN, UNKNOWN, "ON", "wrong_codec"),
]


def announced(daemon: Daemon, camera: str, seconds: float = 10.0) -> dict[str, Any]:
    """What somebody gets who subscribes only now."""
    topic = ADDRESS.format(camera)
    payload = wait_for(topic, lambda: kept(topic, daemon.broker.port), seconds)
    assert contract.check(topic, payload) is None
    return json.loads(payload)


def told(daemon: Daemon, camera: str, after: int = 0) -> list[Any]:
    topic = ADDRESS.format(camera)
    return [message for at, message in daemon.listener.messages[after:] if at == topic]


def gone(daemon: Daemon, camera: str, after: int) -> None:
    daemon.wait_until(f"the end of {camera}", lambda: told(daemon, camera, after)[-1:] == [""])
    assert kept(ADDRESS.format(camera), daemon.broker.port) is None


def shows(daemon: Daemon, entity: dict[str, Any], expected: str) -> None:
    """It comes to be in this state by what the broker keeps."""
    look = lambda: kept(entity["state_topic"], daemon.broker.port)  # noqa: E731
    daemon.wait_until(expected, lambda: (message := look()) and state(entity, message) == expected)


def test_a_device_is_read_and_set_and_told_again_to_whoever_comes_late(start, tmp_path):
    daemon = start(**{**node_config(tmp_path), **ON}, instance_id="ward-3")
    device = announced(daemon, "ward-3")
    parts = device["cmps"]
    assert device["dev"]["name"] == "ward" and device["dev"]["serial_number"] == "ward-3/ward-3"
    assert parts["picture"] == {"platform": "image"}, "pictures are not asked for"
    available = device["availability"][0]
    for status, expected in (("online", "online"), ("offline", "offline"), ("stopped", "offline")):
        assert rendered(available["value_template"], status) == expected
    assert kept(available["topic"], daemon.broker.port) == b"online"
    for presence, person, count, problem, camera in READ:
        assert contract.check("care/presence/a", b"") is None
        states = [state(parts[key], presence) for key in ("person", "count", "camera", "camera_state")]
        assert states == [person, count, problem, camera], presence
        attributes = json.loads(rendered(parts["person"]["json_attributes_template"], presence))
        expected = {key: presence.get(key) for key in ("reason", "evidence_age_ms", "since")}
        assert attributes == expected
        assert camera == UNKNOWN or camera in parts["camera_state"]["options"]

    # What a person sets becomes a command, and the command the state.
    def send(entity: dict[str, Any], payload: str, expected: str) -> None:
        after = daemon.heard
        daemon.publish(payload, entity["command_topic"])
        shows(daemon, entity, expected)
        assert [said["status"] for said in daemon.said(after) if "command_ack" in said] == ["success"]

    rate, model, switch = parts["rate"], parts["model"], parts["inference"]
    shows(daemon, rate, "10.0")
    send(rate, rendered(rate["command_template"], "2.5"), "2.5")
    shows(daemon, parts["rate_in_force"], "2.5")
    shows(daemon, model, "n")
    send(model, rendered(model["command_template"], "m"), "m")
    assert model["options"] == ["orion", "n", "s", "m", "l", "x"]
    shows(daemon, switch, switch["state_on"])
    send(switch, switch["payload_off"], switch["state_off"])
    shows(daemon, parts["person"], UNKNOWN)
    send(switch, switch["payload_on"], switch["state_on"])
    # A slider that is drawn: the last one counts.
    for value in ("3", "7.5", "30", "10"):
        daemon.publish(rendered(rate["command_template"], value), rate["command_topic"])
    shows(daemon, rate, "10.0")
    # Home Assistant starts; so does the broker, which has forgotten all.
    after = daemon.heard
    daemon.publish("offline", "homeassistant/status")
    daemon.publish("online", "homeassistant/status")
    daemon.wait_until("an answer to the birth", lambda: told(daemon, "ward-3", after))
    assert told(daemon, "ward-3", after) == [device]
    daemon.broker.stop()
    broker_comes_back(daemon)
    assert announced(daemon, "ward-3", BACK) == device
    daemon.stop()


def test_cameras_that_go_take_their_devices_along(start):
    cameras = [{"instance_id": "a"}, {"instance_id": "b", "room_id": "Room 2"}, {"instance_id": "c"}]
    pictures = {"enabled": True, "privacy": False}
    mqtt = {"home_assistant": {"enabled": True, "picture": True}, "snapshots": pictures}
    config = {**MOTION, "instance_id": "ward", "mqtt": mqtt}
    daemon = start(**config, cameras=cameras)
    first = announced(daemon, "a")
    assert first["cmps"]["model"] == {"platform": "select"}, "motion has no model"
    assert first["cmps"]["picture"]["image_topic"] == "care/snapshots/a"
    assert announced(daemon, "b")["dev"]["name"] == "Room 2"
    # Devices of others: one that looks like ours, and one that is another daemon's.
    like = json.dumps(announced(daemon, "c")).replace("ward/c", "other/x").replace("orion_c", "orion_x")
    others = {ADDRESS.format("x"): like, "homeassistant/device/lamp/config": "lamp"}
    for topic, payload in others.items():
        daemon.publish(payload, topic, retain=True)
    after = daemon.heard
    daemon.done("remove_camera", {"instance_id": "c"})
    gone(daemon, "c", after)
    # The file again: one is another one, one has come.
    after = daemon.heard
    changed = {"presence": {"enabled": False}, "room_id": "Room 9"}
    dead = {"instance_id": "d", "camera": {"rtsp_url": "rtsp://127.0.0.1:9/x"}}
    daemon.write({**daemon.config, "cameras": [{"instance_id": "a"}, {"instance_id": "b", **changed}, dead]})
    daemon.program.signal(signal.SIGHUP)
    daemon.wait_until("a device without presence", lambda: told(daemon, "b", after))
    new = announced(daemon, "b")
    assert new["dev"]["name"] == "Room 9" and new["dev"]["identifiers"] == ["orion_b"]
    assert new["cmps"]["person"] == {"platform": "binary_sensor"}, "it is taken away by its name alone"
    shows(daemon, announced(daemon, "d")["cmps"]["camera_state"], "refused")
    assert told(daemon, "a", after) == [], "nothing is new about it"
    daemon.stop()
    # In its next life the daemon has fewer of them.
    after = daemon.heard
    daemon = start(**config, cameras=cameras[:1])
    for camera in ("b", "d"):
        gone(daemon, camera, after)
    assert announced(daemon, "a")["cmps"] == first["cmps"]
    for topic, payload in others.items():
        assert kept(topic, daemon.broker.port) == payload.encode(), topic
    daemon.stop()


def test_nothing_is_announced_unless_it_is_asked_for(start):
    daemon = start(**MOTION)
    after = daemon.heard
    daemon.publish("online", "homeassistant/status")
    daemon.done("get_status")
    ours = [topic for topic, _ in daemon.listener.messages if topic.startswith("homeassistant/")]
    assert ours == ["homeassistant/status"] and daemon.said(after)[-1]["status"] == "success"
    daemon.stop()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"cmps": {}}, "[]"),
        ({"mood": 1}, "mood"),
        ({"o": {"name": "x"}}, "{'name': 'x'}"),
        ({"cmps": {"a": {"platform": "number", "unique_id": "x", "name": "y"}}}, "misses"),
        ({"cmps": {"a": {"platform": "lamp", "unique_id": "x"}}}, "KeyError('lamp')"),
    ],
)
def test_what_home_assistant_does_not_take_is_reported(change, error):
    topic = ADDRESS.format("a")
    entity = {
        "platform": "binary_sensor",
        "unique_id": "u",
        "name": None,
        "device_class": "problem",
        "state_topic": "t",
        "value_template": "{{ value }}",
    }
    good = {
        "dev": {"identifiers": ["orion_a"], "name": "a"},
        "o": {"name": "n", "sw_version": "1"},
        "cmps": {"a": entity},
    }
    assert home_assistant.check(topic, json.dumps(good).encode()) is None
    assert error in contract.check(topic, json.dumps({**good, **change}).encode())
