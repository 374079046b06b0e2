# SPDX-License-Identifier: MPL-2.0
"""SIGHUP: the file of the configuration is read again, and taken as a whole or not at all."""

import signal

import pytest
from daemon import Daemon, merged
from node import BEFORE, REGION, is_without_loss, size, source


@pytest.fixture
def reloaded(node: Daemon) -> Daemon:
    """The shared daemon, with a file that says what is in force."""
    node.write(node.config)
    after = node.heard
    node.program.signal(signal.SIGHUP)
    node.wait_for_event("config_reloaded", after)
    return node


def hang_up(node: Daemon, event: str) -> dict:
    after = node.heard
    node.program.signal(signal.SIGHUP)
    other = {"config_reloaded": "config_rejected", "config_rejected": "config_reloaded"}[event]
    told = node.wait_until(event, lambda: node.events(event, after) or node.events(other, after))[0]
    assert told["event"] == event, told
    return told


def write(node: Daemon, **change) -> None:
    node.write(merged(node.config, change))


def test_keys_of_the_file_come_into_force(reloaded):
    node = reloaded
    after, revision = node.heard, node.state()["revision"]
    write(
        node,
        room_id="bath",
        rois={"attention": [REGION]},
        models={"person_detector": {"max_inference_rate_hz": 8, "size": "m"}},
    )
    event = hang_up(node, "config_reloaded")
    assert sorted(event["keys"]) == [
        "models.person_detector.max_inference_rate_hz",
        "models.person_detector.size",
        "rois.attention",
        "room_id",
    ]
    assert event["revision"] == revision + 1
    state = node.state()
    assert state["revision"] == revision + 1 and state["inference_rate_hz"] == 8
    assert state["config"]["room_id"] == "bath"

    def new(result: dict) -> bool:
        return (size(result), source(result), result["room_id"]) == ("m", "external", "bath")

    node.wait_for_result("all of it", new, after)
    assert all(new(result) for result in node.wait_for_results(3))
    is_without_loss(node.results(after))
    assert node.done("get_status")["data"]["config"] == state["config"]


def test_a_key_that_is_taken_out_of_the_file_has_its_default(reloaded):
    node = reloaded
    less = merged(node.config, {})
    del less["room_id"]
    node.write(less)
    assert hang_up(node, "config_reloaded")["keys"] == ["room_id"]
    assert node.state()["config"]["room_id"] == ""


def test_the_file_comes_before_what_commands_have_changed(reloaded):
    node = reloaded
    node.done("set_inference_rate", {"rate_hz": 7})
    assert hang_up(node, "config_reloaded")["keys"] == ["models.person_detector.max_inference_rate_hz"]
    rate = BEFORE["models"]["person_detector"]["max_inference_rate_hz"]
    assert node.state()["inference_rate_hz"] == rate


def test_an_unchanged_file_changes_nothing(reloaded):
    node = reloaded
    with node.unchanged():
        event = hang_up(node, "config_reloaded")
        assert event["keys"] == [] and event["revision"] == node.state()["revision"]


def line_of(node: Daemon, text: str) -> int:
    lines = node.file.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_what_is_wrong_with_the_file_is_told_by_line_and_key(reloaded):
    node = reloaded
    for change, keys in [
        ({"room_id": "bath", "roomid": "x"}, ["roomid: unknown key, did you mean room_id?"]),
        ({"models": {"person_detector": {"confidence": 7}}}, ["models.person_detector.confidence: "]),
        ({"stream": {"resolution": "481p"}, "rois": 5}, ["stream.resolution: ", "rois: "]),
        ({"rois": {"attention": [{**REGION, "x": 0.5}]}}, ["rois.attention"]),
    ]:
        write(node, **change)
        with node.unchanged():
            problems = hang_up(node, "config_rejected")["problems"]
            assert len(problems) == len(keys), problems
            for key in keys:
                (problem,) = [one for one in problems if key in one]
                name = key.split(":")[0].split(".")[-1]
                place = f"{node.file}:{line_of(node, f'{chr(34)}{name}{chr(34)}')}:"
                assert problem.startswith(place), (problem, place)
    assert all(size(result) == "n" for result in node.wait_for_results(2))


def test_a_file_that_is_none_is_told(reloaded):
    node = reloaded
    with node.unchanged():
        node.file.write_text("models: [")
        (problem,) = hang_up(node, "config_rejected")["problems"]
        assert problem.startswith(f"{node.file}:")
        node.file.unlink()
        (problem,) = hang_up(node, "config_rejected")["problems"]
        assert problem.startswith(f"{node.file}: ")


def test_a_key_that_needs_a_restart_rejects_the_whole_file(reloaded):
    node = reloaded
    write(node, room_id="bath", mqtt={"qos": 0}, http={"bind": "127.0.0.1:0"})
    with node.unchanged():
        (problem,) = hang_up(node, "config_rejected")["problems"]
        assert problem == "http.bind, mqtt.qos: can only be changed by a restart of the daemon"


def test_a_model_without_a_file_rejects_the_whole_file(reloaded):
    node = reloaded
    after = node.heard
    write(node, room_id="bath", models={"person_detector": {"size": "l"}})
    with node.unchanged():
        assert hang_up(node, "config_rejected")["problems"]
        assert "no model of size 'l'" in node.wait_for_event("model_reload_failed", after)["reason"]
    assert all((size(r), r["room_id"]) == ("n", "ward") for r in node.results(after))
