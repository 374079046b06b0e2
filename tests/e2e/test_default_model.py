# SPDX-License-Identifier: MPL-2.0
"""Orion out of the box: nothing is said of a model, and somebody walks through the room."""

import tiny_sizes


def states(daemon) -> list[str]:
    """What was said of presence, each change once."""
    said = [said["state"] for topic, said in daemon.listener.messages if topic == daemon.topic("presence")]
    return [state for before, state in zip([None, *said], said, strict=False) if state != before]


def test_presence_follows_who_walks_through_the_room(start, camera):
    daemon = start(camera={"rtsp_url": camera("--pattern", "walk")}, presence={"absent_after_s": 1})
    daemon.wait_until("somebody comes and goes", lambda: "present absent" in " ".join(states(daemon)), 60)
    persons = [found for result in daemon.results() for found in result["data"]["detections"]]
    assert persons
    for result in daemon.results():
        assert result["data"]["metadata"]["model_size"] == "orion"
        assert result["data"]["count"] <= 2, "one person and no ghosts"
    for person in persons:
        assert person["label"] == "person"
        assert person["bbox"]["height"] > person["bbox"]["width"]
    assert daemon.state()["config"]["models"]["person_detector"]["size"] == "orion"


def test_a_folder_of_ones_own_goes_before_it_and_it_is_there_when_asked_for(start, tmp_path, camera):
    models = {"person_detector": {"model_dir": str(tiny_sizes.make(tmp_path / "models"))}}
    daemon = start(camera={"rtsp_url": camera()}, models=models)
    assert daemon.wait_for_results(1)[0]["data"]["metadata"]["model_size"] == "n"
    assert daemon.state()["config"]["models"]["person_detector"]["size"] == "n"
    assert daemon.done("set_model_size", {"size": "orion"})["data"] == {"size": "orion"}
    daemon.wait_for_result("its own", lambda result: result["data"]["metadata"]["model_size"] == "orion")
