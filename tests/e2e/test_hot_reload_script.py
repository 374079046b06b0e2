# SPDX-License-Identifier: MPL-2.0
"""What a shell script can do with `mosquitto_pub` while the daemon runs."""

from pathlib import Path

import pytest
from node import REGION, is_in_force_from, is_without_loss, region, size, source

SCRIPT = Path(__file__).with_name("hot_reload.sh")


def test_a_script_changes_model_and_region_of_a_running_daemon(node, run):
    after = node.heard
    node.wait_for_results(2, after)
    script = run(SCRIPT, node.broker.port)
    assert script.wait(20) == 0, script.output
    model, rois = node.ack("script-model", 2), node.ack("script-rois", 2)
    assert model["status"] == rois["status"] == "success"
    is_in_force_from(node, model, lambda result: size(result) == "m", after, in_hand=0)
    found = is_in_force_from(node, rois, lambda result: source(result) == "external", after)
    assert all(size(result) == "m" for result in found)
    assert region(found[-1]) == pytest.approx(REGION)
    assert found[-1]["data"]["metadata"]["roi_processing"]["attention_rois"] == [pytest.approx(REGION)]
    is_without_loss(node.results(after))
