# SPDX-License-Identifier: MPL-2.0
"""Commands about where to look: regions, and the focus that follows the worker."""

import pytest
from node import REGION, ROIS, is_in_force_from, region, source


def test_regions_are_looked_at_until_they_are_cleared(node):
    after, revision = node.heard, node.state()["revision"]
    ack = node.done("set_attention_rois", {"rois": [REGION]})
    assert ack["data"] == {"rois": [REGION]} and ack["revision"] == revision + 1
    found = is_in_force_from(node, ack, lambda result: source(result) == "external", after)
    assert region(found[0]) == pytest.approx(REGION)
    assert node.done("get_attention_rois")["data"] == {"rois": [REGION]}
    assert node.state()["config"]["rois"]["attention"] == [REGION]

    # Several are looked at as the one that holds them all.
    corners = [dict(x=x, y=x, width=0.1, height=0.1) for x in (0.3, 0.6)]
    after = node.heard
    ack = node.done("set_attention_rois", {"rois": corners})
    both = {"x": 0.3, "y": 0.3, "width": 0.4, "height": 0.4}
    is_in_force_from(node, ack, lambda result: region(result) == pytest.approx(both), after)
    assert node.done("get_attention_rois")["data"] == {"rois": corners}

    after = node.heard
    ack = node.done("clear_attention_rois")
    assert ack["data"] == {"rois": []} and ack["revision"] == revision + 3
    is_in_force_from(node, ack, lambda result: source(result) == "" and region(result) is None, after)
    assert node.done("get_attention_rois")["data"] == {"rois": []}
    # An empty list clears as well, here: nothing.
    with node.unchanged():
        assert node.done("set_attention_rois", {"rois": []})["revision"] == revision + 3


def test_auto_focus_follows_the_worker_while_it_is_enabled(node):
    after = node.heard
    ack = node.done("enable_auto_focus")
    assert ack["data"]["enabled"] is True
    is_in_force_from(node, ack, lambda result: source(result) == "python_suggested", after)
    assert node.state()["config"]["rois"]["auto_focus"]["enabled"] is True
    after = node.heard
    ack = node.done("disable_auto_focus")
    assert ack["data"]["enabled"] is False
    is_in_force_from(node, ack, lambda result: source(result) == "", after)
    assert node.state()["config"]["rois"]["auto_focus"]["enabled"] is False


def test_regions_of_a_command_come_before_those_of_the_worker(node):
    node.done("enable_auto_focus")
    after = node.heard
    ack = node.done("set_attention_rois", {"rois": [REGION]})
    is_in_force_from(node, ack, lambda result: source(result) == "external", after)
    after = node.heard
    ack = node.done("clear_attention_rois")
    is_in_force_from(node, ack, lambda result: source(result) == "python_suggested", after)


def test_the_strategy_of_auto_focus_is_used_from_then_on(node):
    node.done("enable_auto_focus")
    asked = {"strategy": "velocity", "velocity_threshold": 0.2, "history_frames": 40}
    before = node.done("get_auto_focus_stats")["data"]
    ack = node.done("set_auto_focus_strategy", asked)
    expected = {**node.state()["config"]["rois"]["auto_focus"], **asked}
    assert ack["data"] == expected, "what is left out stays as it is"
    assert ack["data"]["alpha"] == ROIS["auto_focus"]["alpha"]
    assert node.done("get_auto_focus_strategy")["data"] == expected
    node.wait_for_results(3)
    stats = node.done("get_auto_focus_stats")["data"]
    assert stats["strategy_velocity"] >= before["strategy_velocity"] + 2
    assert stats["python_suggested"] > before["python_suggested"]
    for strategy in ("smoothing", "simple"):
        node.done("set_auto_focus_strategy", {"strategy": strategy})
        count = f"strategy_{strategy}"
        before = node.done("get_auto_focus_stats")["data"][count]

        def is_used(count=count, before=before) -> bool:
            return node.done("get_auto_focus_stats")["data"][count] > before

        node.wait_until(f"frames with {strategy}", is_used)


def in_hand(node) -> int:
    books = node.done("get_status")["data"]["state"]["ledger"]
    return sum(book["in_flight"] for book in books)


def test_the_history_of_auto_focus_can_be_forgotten(node):
    node.done("enable_auto_focus")
    node.wait_for_results(3)
    revision = node.done("pause_inference")["revision"]
    # What a worker still had in hand may be remembered after the pause.
    node.wait_until("the end of frames in hand", lambda: in_hand(node) == 0)
    assert node.done("get_auto_focus_stats")["data"]["history_size"] > 0
    with node.unchanged():
        ack = node.done("clear_auto_focus_history")
        assert ack["data"] == {} and ack["revision"] == revision
        assert node.done("get_auto_focus_stats")["data"]["history_size"] == 0
