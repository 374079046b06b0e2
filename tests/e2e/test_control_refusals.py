# SPDX-License-Identifier: MPL-2.0
"""Commands that are refused: with a text that names the field, and with nothing changed."""

import json

import paho.mqtt.publish as publish
import pytest
from node import REGION

RECT = REGION

# Command, parameters, and what the answer's text names.
WRONG: dict[str, list[tuple[str, object, str]]] = {
    "commands": [
        ("stop", None, 'command: "stop" is unknown; known are get_status'),
        ("Pause_Inference", None, "is unknown"),
        ("x" * 64, None, "is unknown"),
        ("", None, "is unknown"),
    ],
    "parameters where none are": [
        (command, {"now": True}, f"params.now: {command} takes no parameters")
        for command in (
            "get_status", "pause_inference", "resume_inference", "clear_attention_rois",
            "get_attention_rois", "get_auto_focus_strategy", "enable_auto_focus", "disable_auto_focus",
            "clear_auto_focus_history", "get_auto_focus_stats", "shutdown",
        )
    ],
    "rates": [
        ("set_inference_rate", None, 'params: missing field "rate_hz"'),
        ("set_inference_rate", [], "params: expected an object, got []"),
        ("set_inference_rate", 5, "params: expected an object, got 5"),
        ("set_inference_rate", {"rate_hz": "5"}, "params.rate_hz: invalid type"),
        ("set_inference_rate", {"rate_hz": None}, "params.rate_hz: invalid type"),
        ("set_inference_rate", {"rate_hz": True}, "params.rate_hz: invalid type"),
        ("set_inference_rate", {"rate_hz": 0}, "params.rate_hz: expected 0.1..30 Hz, got 0"),
        ("set_inference_rate", {"rate_hz": 0.0999}, "params.rate_hz: expected 0.1..30 Hz, got 0.0999"),
        ("set_inference_rate", {"rate_hz": 30.01}, "params.rate_hz: expected 0.1..30 Hz, got 30.01"),
        ("set_inference_rate", {"rate_hz": -1e308}, "params.rate_hz: expected 0.1..30 Hz"),
        ("set_inference_rate", {"rate_hz": 5, "hz": 5}, 'params.hz: unknown field "hz"'),
    ],
    "models": [
        ("set_model_size", None, 'params: missing field "size"'),
        ("set_model_size", {"size": 1}, "params.size: "),
        ("set_model_size", {"size": "xl"}, 'params.size: unknown variant "xl"'),
        ("set_model_size", {"size": "N"}, 'params.size: unknown variant "N"'),
        ("set_model_size", {"size": "m", "now": 1}, 'params.now: unknown field "now"'),
    ],
    "regions": [
        ("set_attention_rois", None, 'params: missing field "rois"'),
        ("set_attention_rois", {"rois": RECT}, "params.rois: invalid type"),
        ("set_attention_rois", {"rois": [{"x": 0}]}, "params.rois[0]: missing field"),
        ("set_attention_rois", {"rois": [{**RECT, "x": "0"}]}, "params.rois[0].x: invalid type"),
        ("set_attention_rois", {"rois": [{**RECT, "x": 0.5}]}, "params.rois[0]: x + width must be at most"),
        ("set_attention_rois", {"rois": [{**RECT, "y": 0.5}]}, "params.rois[0]: y + height must be at most"),
        ("set_attention_rois", {"rois": [{**RECT, "x": -0.1}]}, "params.rois[0]: x"),
        ("set_attention_rois", {"rois": [{**RECT, "width": 0}]}, "params.rois[0]: width"),
        ("set_attention_rois", {"rois": [{**RECT, "height": -0.1}]}, "params.rois[0]: height"),
        # All or nothing.
        ("set_attention_rois", {"rois": [RECT, {**RECT, "y": 1.1}]}, "params.rois[1]: y"),
    ],
    "auto focus": [
        ("set_auto_focus_strategy", None, 'params: missing field "strategy"'),
        ("set_auto_focus_strategy", {"strategy": "fast"}, 'params.strategy: unknown variant "fast"'),
        ("set_auto_focus_strategy", {"strategy": "simple", "speed": 1}, "params.speed: unknown field"),
        ("set_auto_focus_strategy", {"strategy": "smoothing", "alpha": "1"}, "params.alpha: invalid type"),
        ("set_auto_focus_strategy", {"strategy": "simple", "history_frames": 2.5}, "params.history_frames"),
    ],
    "auto focus out of range": [
        ("set_auto_focus_strategy", {"strategy": "smoothing", "alpha": 1.5}, "alpha"),
        ("set_auto_focus_strategy", {"strategy": "smoothing", "alpha": -0.1}, "alpha"),
        ("set_auto_focus_strategy", {"strategy": "velocity", "velocity_threshold": 2}, "velocity_threshold"),
        ("set_auto_focus_strategy", {"strategy": "velocity", "velocity_factor": 101}, "velocity_factor"),
        ("set_auto_focus_strategy", {"strategy": "velocity", "max_expansion": 1.1}, "max_expansion"),
        ("set_auto_focus_strategy", {"strategy": "simple", "history_frames": 0}, "history_frames"),
    ],
    "workers": [
        ("restart_worker", {"worker": "falls"}, 'params.worker: there is no "falls", known are infer'),
        ("restart_worker", {"worker": 1}, "params.worker: invalid type"),
        ("restart_worker", {"name": "infer"}, 'params.name: unknown field "name"'),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named_and_nothing_changes(node, kind):
    with node.unchanged() as check:
        for command, params, text in WRONG[kind]:
            error = node.refused(command, params)
            assert text in error, (command, params, error)
            check()


def test_an_unknown_field_of_a_region_is_named(node):
    with node.unchanged():
        assert "params.rois[0]" in node.refused("set_attention_rois", {"rois": [{**RECT, "heigth": 0.1}]})


def test_fields_beside_the_command_are_checked_too(node):
    with node.unchanged() as check:
        for fields, text in [
            # A mistyped dry_run would be carried out.
            ({"dryrun": True}, '"dryrun" is unknown; known are command, params, id, if_revision, dry_run'),
            ({"dry_run": 1}, "dry_run: expected true or false, got 1"),
            ({"if_revision": -1}, "if_revision: expected a whole number, got -1"),
            ({"if_revision": "1"}, "if_revision: expected a whole number"),
            ({"if_revision": 1.5}, "if_revision: expected a whole number, got 1.5"),
        ]:
            assert text in node.refused("pause_inference", **fields)
            check()
        for id in ({}, [1], True, 1.5, "x" * 129, 2**63):
            ack = node.answer(json.dumps({"command": "pause_inference", "id": id}))
            assert ack["status"] == "error" and "id" not in ack
            assert ack["command_ack"] == "pause_inference"
            assert ack["error"].startswith("id: expected text of at most 128 bytes or a whole number")
        check()


def test_what_is_no_command_is_refused(node):
    with node.unchanged() as check:
        for payload, text in [
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"pause_inference", "not JSON"),
            (b'{"command": "pause_inference"} x', "not JSON"),
            (b'{"command": "pause_inference", "id": "\xff"}', "not JSON"),
            (b"\x00\xff" * 100, "not JSON"),
            (b"[" * 60_000, "not JSON"),
            (b'{"command": "set_inference_rate", "params": {"rate_hz": 1e999}}', "not JSON"),
            (b'{"command": "set_inference_rate", "params": {"rate_hz": NaN}}', "not JSON"),
            (b"[]", "expected an object"),
            (b"null", "expected an object"),
            (b'"pause_inference"', "expected an object"),
            (b"{}", "command: is missing"),
            (b'{"command": 1}', "command: expected text, got 1"),
            (b'{"command": null}', "command: expected text, got null"),
        ]:
            ack = node.answer(payload)
            assert ack["status"] == "error" and text in ack["error"], (payload[:80], ack)
            assert ack["command_ack"] == ""
            check()


def test_a_command_may_be_64_kib_long_and_no_longer(node):
    request = json.dumps(node.request("set_inference_rate", {"rate_hz": 7}))
    assert node.answer(request.ljust(64 * 1024))["status"] == "success"
    with node.unchanged():
        other = json.dumps(node.request("set_inference_rate", {"rate_hz": 8}))
        ack = node.answer(other.ljust(64 * 1024 + 1))
        assert ack["status"] == "error" and ack["command_ack"] == ""
        assert "65537 bytes are too long for a command" in ack["error"]
        # Far too long to be read at all: the connection ends, and there is another one.
        node.publish(other.ljust(4 << 20))
        node.wait_until("control again", lambda: answers(node), 10)
        assert node.state()["inference_rate_hz"] == 7


def answers(node) -> bool:
    """Whether a question is answered; one that was sent without a connection never is."""
    after = node.heard
    id = node.send("get_status")
    try:
        return bool(node.ack(id, seconds=0.5, after=after))
    except AssertionError:
        return False


def test_a_revision_that_is_not_in_force_refuses(node):
    revision = node.state()["revision"]
    with node.unchanged():
        for other in (0, revision - 1, revision + 1, 2**63):
            error = node.refused("set_inference_rate", {"rate_hz": 8}, if_revision=other)
            assert error == f"if_revision: the revision is {revision}, not {other}"
        assert "if_revision" in node.refused("pause_inference", if_revision=revision + 1)
        assert "if_revision" in node.refused("get_status", if_revision=revision + 1)
    ack = node.done("set_inference_rate", {"rate_hz": 8}, if_revision=revision)
    assert ack["revision"] == revision + 1 == node.state()["revision"]


def test_a_dry_run_checks_and_changes_nothing(node):
    auto_focus = {"strategy": "velocity", "velocity_factor": 2}
    with node.unchanged() as check:
        for command, params, changes in [
            ("pause_inference", None, None),
            ("set_inference_rate", {"rate_hz": 3}, ["models.person_detector.max_inference_rate_hz"]),
            ("set_model_size", {"size": "m"}, ["models.person_detector.size"]),
            ("set_model_size", {"size": "n"}, []),
            ("set_attention_rois", {"rois": [RECT]}, ["rois.attention"]),
            ("clear_attention_rois", None, []),
            ("set_auto_focus_strategy", auto_focus,
             ["rois.auto_focus.strategy", "rois.auto_focus.velocity_factor"]),
            ("enable_auto_focus", None, ["rois.auto_focus.enabled"]),
            ("disable_auto_focus", None, []),
            ("clear_auto_focus_history", None, None),
            ("update_config", {"config": {"room_id": "x"}}, ["room_id"]),
            ("restart_worker", None, None),
            ("shutdown", None, None),
        ]:  # fmt: skip
            ack = node.done(command, params, dry_run=True)
            assert ack["data"]["dry_run"] is True and "applied_at_seq" not in ack
            assert ack["data"].get("changes") == changes, command
            check()
        for command, params in [
            ("resume_inference", None),
            ("set_inference_rate", {"rate_hz": 31}),
            ("update_config", {"config": {"mqtt": {"qos": 0}}}),
            ("restart_worker", {"worker": "falls"}),
        ]:
            node.refused(command, params, dry_run=True)
        node.wait_for_results(3)


def test_a_retained_command_is_refused(start, broker):
    for topic, id in [("care/control/node_001", "mine"), ("care/control/all", "everybody's")]:
        payload = json.dumps({"command": "pause_inference", "id": id})
        publish.single(topic, payload, qos=1, retain=True, hostname="127.0.0.1", port=broker.port)
    daemon = start(models={"person_detector": {"detector": "motion"}})
    for id in ("mine", "everybody's"):
        ack = daemon.ack(id)
        assert ack["status"] == "error" and "is a retained message" in ack["error"]
    daemon.wait_for_results(3)
    assert daemon.state()["revision"] == 1 and daemon.state()["paused"] is False
    daemon.stop()
