# SPDX-License-Identifier: MPL-2.0
"""What a command calls itself: it comes back with the answer, and nothing is carried out twice."""

import json


def test_an_id_is_echoed_whatever_it_is(node):
    for id in ("", "x" * 128, "ö \N{SNOWMAN}", 0, -7, 2**63 - 1):
        after = node.heard
        assert node.send("get_status", id=id) == id
        assert node.ack(id, after=after)["status"] == "success"
    after = node.heard
    node.publish('{"command": "get_status"}')
    ack = node.wait_until("an answer", lambda: node.said(after))[0]
    assert "id" not in ack and ack["status"] == "success"


def test_an_id_is_carried_out_once(node):
    first = node.request("set_inference_rate", {"rate_hz": 7})
    ack = node.answer(json.dumps(first))
    assert ack["status"] == "success" and "duplicate" not in ack
    node.done("set_inference_rate", {"rate_hz": 9})
    with node.unchanged():
        for _ in range(3):
            again = node.answer(json.dumps(first))
            assert again["duplicate"] is True
            for key in ("command_ack", "status", "id", "data", "applied_at_seq", "revision"):
                assert again[key] == ack[key], "the answer is the first one"
        # As another command it is refused, and it stays known as what it was.
        for other in (node.request("pause_inference"), node.request("set_inference_rate", {"rate_hz": 8})):
            ack = node.answer(json.dumps({**other, "id": first["id"]}))
            assert ack["status"] == "error" and "id: was that of another command" in ack["error"]
            assert ack["id"] == first["id"] and "duplicate" not in ack
        assert node.answer(json.dumps(first))["duplicate"] is True
    # What was refused is not tried again either.
    refused = json.dumps(node.request("resume_inference"))
    assert node.answer(refused)["error"] == "not paused"
    node.done("pause_inference")
    again = node.answer(refused)
    assert (again["status"], again["error"], again["duplicate"]) == ("error", "not paused", True)
    assert node.state()["paused"] is True


def test_an_id_that_comes_again_before_its_answer_is_answered_once(node):
    after = node.heard
    request = json.dumps(node.request("set_model_size", {"size": "s"}))
    id = json.loads(request)["id"]
    for _ in range(3):
        node.publish(request)
    assert node.ack(id, after=after)["status"] == "success"
    node.done("get_status")
    assert len(node.acks(id, after)) == 1
    assert node.answer(request)["duplicate"] is True
    assert len(node.events("model_reloaded", after)) == 1
