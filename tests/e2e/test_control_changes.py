# SPDX-License-Identifier: MPL-2.0
"""Changes that take their time, several at once, all or nothing; and more commands than anybody needs."""

import json
import threading
from collections import Counter

import paho.mqtt.publish as publish
import pytest
from node import RATE, REGION, is_in_force_from, is_without_loss, person, size, source
from running import workers


def test_a_model_without_a_file_is_refused_and_the_old_one_carries_on(node):
    after = node.heard
    with node.unchanged():
        node.refused("set_model_size", {"size": "l"})
        node.wait_for_results(3)
    assert all(size(result) == "n" for result in node.results(after))
    is_without_loss(node.results(after))
    event = node.wait_for_event("model_reload_failed", after)
    assert "no model of size 'l'" in event["reason"]
    # Nor does it stand in the way of the next one.
    assert node.done("set_model_size", {"size": "s"})["data"] == {"size": "s"}


def test_why_a_model_is_refused_is_told_each_time(node):
    for _ in range(4):
        assert "no model of size 'l'" in node.refused("set_model_size", {"size": "l"})


def test_a_second_swap_overtakes_the_first(node):
    after, revision = node.heard, node.state()["revision"]
    first = node.send("set_model_size", {"size": "m"})
    second = node.send("set_model_size", {"size": "s"})
    ack = node.ack(second)
    assert ack["status"] == "success" and ack["data"] == {"size": "s"}
    overtaken = node.acks(first, after)
    assert [one["status"] for one in overtaken] == ["error"], "answered once, and before the second"
    assert "overtaken by a newer command (set_model_size)" in overtaken[0]["error"]
    assert ack["revision"] == revision + 1
    is_in_force_from(node, ack, lambda result: size(result) == "s", after, in_hand=0)
    results = node.results(after)
    assert {size(result) for result in results} == {"n", "s"}
    is_without_loss(results)
    assert node.done("get_status")["data"]["pending"] == []
    node.wait_until("one worker", lambda: len(workers(node.program.pid)) == 1)


def test_a_swap_back_leaves_all_as_it_was(node):
    first = node.send("set_model_size", {"size": "m"})
    ack = node.done("set_model_size", {"size": "n"})
    assert ack["data"] == {"size": "n"}
    assert node.ack(first)["status"] == "error"
    assert all(size(result) == "n" for result in node.wait_for_results(10))
    assert node.state()["config"]["models"]["person_detector"]["size"] == "n"


def test_what_is_under_way_is_told_and_other_commands_go_on(node):
    after = node.heard
    swap = node.send("set_model_size", {"size": "m"})
    status = node.done("get_status")["data"]
    (pending,) = status["pending"]
    assert pending["command"] == "set_model_size"
    assert pending["keys"] == ["models.person_detector.size"] and pending["since_s"] >= 0
    assert node.done("set_inference_rate", {"rate_hz": 8})["data"]["rate_hz"] == 8
    assert node.acks(swap, after) == [], "a swap takes longer than that"
    assert node.ack(swap)["status"] == "success"
    person = node.state()["config"]["models"]["person_detector"]
    assert (person["size"], person["max_inference_rate_hz"]) == ("m", 8)


def test_several_keys_come_into_force_together(node):
    after, revision = node.heard, node.state()["revision"]
    config = {
        "room_id": "bath",
        "rois": {"attention": [REGION]},
        **person(size="m", max_inference_rate_hz=8, confidence=0.6)["config"],
    }
    id = node.send("update_config", {"config": config})
    # The slow ones are waited for: until then none is in force.
    assert node.done("get_status")["revision"] == revision
    ack = node.ack(id)
    assert ack["status"] == "success" and ack["revision"] == revision + 1
    assert sorted(ack["data"]["changes"]) == [
        "models.person_detector.confidence",
        "models.person_detector.max_inference_rate_hz",
        "models.person_detector.size",
        "rois.attention",
        "room_id",
    ]
    later = [r for r in node.wait_for_results(6, node.heard) if r["frame_seq"] >= ack["applied_at_seq"]]
    for result in later[1:]:
        assert (size(result), source(result), result["room_id"]) == ("m", "external", "bath")
    # What is instant waited for the model.
    for result in node.results(after):
        if size(result) == "n":
            assert (source(result), result["room_id"]) == ("", "ward"), result["frame_seq"]
    state = node.state()
    assert state["inference_rate_hz"] == 8 and state["config"]["rois"]["attention"] == [REGION]


def test_all_keys_are_in_force_from_the_frame_that_is_told(node):
    after = node.heard
    config = {"room_id": "bath", **person(size="m")["config"]}
    ack = node.done("update_config", {"config": config})
    is_in_force_from(node, ack, lambda r: (size(r), r["room_id"]) == ("m", "bath"), after)


BAD = {
    "out of range": (person(confidence=1.5), "confidence"),
    "of the wrong type": (person(workers="two"), "workers"),
    "unknown": ({"config": {"room": "bath"}}, "room"),
    "for a restart": ({"config": {"mqtt": {"qos": 0}}}, "mqtt.qos: can only be changed by a restart"),
    "without a model file": (person(size="x"), ""),
}


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_key_leaves_them_all_as_they_were(node, kind):
    bad, text = BAD[kind]
    after = node.heard
    person_detector = {
        **bad["config"].get("models", {}).get("person_detector", {}),
        "max_inference_rate_hz": 3,
    }
    good = {
        "room_id": "bath",
        "rois": {"attention": [REGION]},
        "models": {"person_detector": person_detector},
    }
    with node.unchanged():
        assert text in node.refused("update_config", {"config": {**bad["config"], **good}})
        node.wait_for_results(5)
    for result in node.results(after):
        assert (size(result), source(result), result["room_id"]) == ("n", "", "ward")
    assert node.state()["inference_rate_hz"] == RATE


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"roomid": "x"}, "did you mean room_id"),
        ({"models": {"person_detector": {"confidense": 0.5}}}, "did you mean confidence"),
        ({"room_id": {"name": "x"}}, "room_id"),
        ({"rois": 5}, "rois"),
        ({"rois": {"attention": [{"x": 0.5, "y": 0, "width": 0.6, "height": 1}]}}, "rois.attention"),
        ({"models": {"person_detector": {"max_inference_rate_hz": 31}}}, "max_inference_rate_hz"),
        ({"models": {"person_detector": {"labels": []}}}, "labels"),
        ({"shutdown_timeout_s": 0}, "shutdown_timeout_s"),
        ({"models": {"person_detector": {"model_path_320": "/x.onnx"}}}, "model_path"),
        ({"camera": {"file": "/clip.mp4"}}, "camera"),
    ],
)
def test_a_key_that_cannot_be_is_named(node, config, text):
    with node.unchanged():
        assert text in node.refused("update_config", {"config": config})


def test_keys_that_need_a_restart_are_named_all_together(node):
    config = {
        "instance_id": "other",
        "stream": {"warmup_duration_s": 1, "format": "raw"},
        "mqtt": {"prefix": "house"},
        "http": {"bind": "127.0.0.1:0"},
    }
    keys = (
        "instance_id",
        "stream.warmup_duration_s",
        "stream.format",
        "mqtt.prefix",
        "http.bind",
    )
    with node.unchanged():
        error = node.refused("update_config", {"config": config})
        assert error.endswith("can only be changed by a restart of the daemon")
        for key in keys:
            assert key in error
        for params in (None, {"config": 1}, {"config": []}, {"room_id": "x"}):
            node.refused("update_config", params)
    # As it is already, it may be said.
    with node.unchanged():
        assert node.done("update_config", {"config": {"instance_id": "node_001"}})["data"] == {"changes": []}


def test_of_a_burst_each_command_is_answered_once_and_the_last_counts(node):
    after = node.heard
    burst = []
    for number in range(500):
        rate = 5 + number % 20
        change = number % 3
        if change == 0:
            burst.append(node.request("set_inference_rate", {"rate_hz": rate}))
        elif change == 1:
            x = number / 1000
            rois = [{"x": x, "y": 0.1, "width": 0.4, "height": 0.4}]
            burst.append(node.request("set_attention_rois", {"rois": rois}))
        else:
            burst.append(node.request("pause_inference" if number % 2 else "resume_inference"))
    topic = node.topic("control")
    messages = [{"topic": topic, "payload": json.dumps(request), "qos": 1} for request in burst]
    # Two senders, so that the order is not that of one connection.
    senders = [
        threading.Thread(
            target=publish.multiple,
            args=(messages[half::2],),
            kwargs={"hostname": "127.0.0.1", "port": node.broker.port},
        )
        for half in (0, 1)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    ids = {request["id"] for request in burst}

    def answered() -> list[dict]:
        return [said for said in node.said(after) if said.get("id") in ids]

    node.wait_until("500 answers", lambda: len(answered()) >= len(burst))
    # The daemon lives, and nothing is answered twice.
    node.done("get_status")
    counts = Counter(said["id"] for said in answered())
    assert set(counts) == ids and set(counts.values()) == {1}
    commands = {request["id"]: request for request in burst}
    accepted = [commands[said["id"]] for said in answered() if said["status"] == "success"]
    refused = Counter(said["error"].partition(":")[0] for said in answered() if said["status"] == "error")
    print(f"\n{len(accepted)} of {len(burst)} commands were accepted; the others: {dict(refused)}")
    assert set(refused) <= {"already paused", "not paused", "too many commands wait already"}
    state = node.state()

    def last(command: str) -> dict:
        return next(one for one in reversed(accepted) if one["command"].startswith(command))

    asked = state["config"]["models"]["person_detector"]["max_inference_rate_hz"]
    assert asked == last("set_inference_rate")["params"]["rate_hz"]
    assert state["config"]["rois"]["attention"] == last("set_attention_rois")["params"]["rois"]
    paused = [one["command"] for one in accepted if one["command"].endswith("_inference")]
    assert state["paused"] is bool(paused and paused[-1] == "pause_inference")
