# SPDX-License-Identifier: MPL-2.0
"""The check that all tests here rely on: a message that the contract does not describe is reported."""

import json

import contract
import paho.mqtt.client as paho
import pytest
from mqtt import Listener

TOPIC = "care/inferences/ward-3/gap"
GAP = {
    "type": "gap",
    "instance_id": "ward-3",
    "room_id": "",
    "timestamp": "2026-11-22T08:00:00.000000001Z",
    "missing_type": "person_detection",
    "cause": "queue_full",
    "frames": 1,
    "ranges": [{"first": 8, "last": 8, "frames": 1}],
}


def without(field: str) -> dict:
    return {name: value for name, value in GAP.items() if name != field}


@pytest.mark.parametrize("topic", [TOPIC, "house/7/gap", "t"])
@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({**GAP, "mood": "good"}, "'mood' was unexpected"),
        ({**GAP, "ranges": [{**GAP["ranges"][0], "mood": 1}]}, "$.ranges[0]: Unevaluated properties"),
        (without("cause"), "'cause' is a required property"),
        ({**GAP, "cause": "lost_in_thought"}, "$.cause"),
        ({**GAP, "frames": 0}, "$.frames: 0 is less than the minimum of 1"),
        ({**GAP, "timestamp": "now"}, "$.timestamp: 'now' does not match"),
    ],
)
def test_what_is_not_described_is_reported(topic, message, error):
    assert contract.check(topic, json.dumps(GAP).encode()) is None
    found = contract.check(topic, json.dumps(message).encode())
    assert found.startswith(f"{topic} is not as the contract says") and error in found


def test_plain_text_and_other_payloads_are_told_apart():
    assert contract.check("care/status/ward-3", b"online") is None
    assert contract.read("care/status/ward-3", b"online") == "online"
    for wrong in (b'"online"', b"Online", b"", b"\xff"):
        assert contract.check("care/status/ward-3", wrong), wrong
    assert "not application/json" in contract.check(TOPIC, b"gap")
    assert contract.check("care/inferences/sink/buffer", b"\xff\x00") is None
    for ours_not in (b"0", b"online", b'{"type": "x"}', b"\xff"):
        assert contract.check("t", ours_not) is None
    assert contract.read("t", b"7") == 7 and contract.read("t", b"x") == "x"
    assert contract.read("t", b"\xff") == b"\xff"


def test_an_object_may_be_open_only_where_it_names_no_field():
    schema = {"properties": {"properties": {"type": "object", "additionalProperties": True}}, "anyOf": [{}]}
    assert contract.strict(schema) == {**schema, "unevaluatedProperties": False}


def test_a_listener_that_heard_a_violation_fails_when_it_is_closed(broker):
    for message, text in ((GAP, None), (without("frames"), f"{TOPIC} is not as")):
        listener = Listener(broker.port)
        publisher = paho.Client(paho.CallbackAPIVersion.VERSION2)
        publisher.connect("127.0.0.1", broker.port)
        publisher.loop_start()
        publisher.publish(TOPIC, json.dumps(message), qos=1).wait_for_publish(10)
        assert listener.wait_for(1) == [(TOPIC, message)]
        publisher.disconnect()
        publisher.loop_stop()
        if text is None:
            listener.close()
        else:
            with pytest.raises(AssertionError, match=text):
                listener.close()
