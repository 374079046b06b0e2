# SPDX-License-Identifier: MPL-2.0
"""The elements without the daemon: the README's command in gst-launch-1.0, and what can go wrong with it."""

import itertools
import os
import signal
from pathlib import Path

import pytest
from readme import command
from running import Program, children, wait_for, workers, zombies


@pytest.fixture
def readme(run, broker, camera):
    """Starts the README's command, with Orion's own model, on the room through which somebody walks."""

    def start(**env: str) -> Program:
        values = {
            "RTSP_URL": camera("--pattern", "walk"),
            "MQTT_URI": broker.uri,
        }
        return run(shell=command("persons with gst-launch"), **{**values, **env})

    return start


def results(messages: list) -> list[dict]:
    assert {topic for topic, _ in messages} == {"care/inferences/orion/person_detection"}
    return [result for _, result in messages]


def assert_every_frame_is_accounted_for(results: list[dict]) -> None:
    """Between two results lie just the frames that the second one says were lost."""
    for before, after in itertools.pairwise(results):
        missing = after["frame_seq"] - before["frame_seq"] - 1
        assert missing == sum(after["lost_since_last"].values()), (before["frame_seq"], after)


def stop(program: Program) -> None:
    below = children(program.pid)
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(10) == 0, program.output
    assert not [pid for pid, _, _ in below if Path(f"/proc/{pid}").exists()], "a process is left"


def test_the_readmes_command_publishes_persons_inside_the_frame(readme, listener):
    program = readme()
    heard = results(listener.wait_for(60, 60))
    persons = [detection for result in heard for detection in result["data"]["detections"]]
    assert persons, "somebody walks through the room for 7 of 12 seconds"
    for result in heard:
        metadata = result["data"]["metadata"]
        assert metadata["model_size"] == "orion"
        for detection in result["data"]["detections"]:
            assert detection["label"] == "person"
            box = detection["bbox"]
            assert box["x"] >= 0 and box["x"] + box["width"] <= metadata["frame_width"] + 0.011
            assert box["y"] >= 0 and box["y"] + box["height"] <= metadata["frame_height"] + 0.011
            assert box["width"] > 0 and box["height"] > 0
    assert any(result["clock_source"] == "camera" for result in heard), "the camera tells its time"
    assert_every_frame_is_accounted_for(heard)
    stop(program)


def test_a_killed_worker_is_replaced_and_every_frame_accounted_for(readme, listener):
    program = readme()
    listener.wait_for(5)
    (first,) = workers(program.pid)
    for _ in range(2):
        (victim,) = workers(program.pid)
        before = len(listener.messages)
        os.kill(victim, signal.SIGKILL)
        wait_for("another worker", lambda victim=victim: workers(program.pid) not in ([], [victim]))
        listener.wait_for(10, after=before)
    (last,) = workers(program.pid)
    assert last != first
    assert zombies(program.pid) == []
    assert_every_frame_is_accounted_for(results(listener.messages))
    assert "was ended by SIGKILL; it is started again now" in program.output
    stop(program)


def test_interrupting_ends_it_with_the_last_results_published(readme, listener):
    program = readme()
    listener.wait_for(3)
    stop(program)
    assert_every_frame_is_accounted_for(results(listener.messages))


def test_without_a_broker_it_goes_on_and_says_what_to_do(readme, broker, listener):
    listener.close()
    broker.stop()
    program = readme()
    warning = program.wait_for_line(rf"127\.0\.0\.1:{broker.port}.*mosquitto").group()
    assert "refused" in warning
    broker.start()
    # What was seen meanwhile is published now.
    listener.__init__(broker.port)
    assert_every_frame_is_accounted_for(results(listener.wait_for(10)))
    stop(program)


def test_a_broker_that_went_away_does_not_keep_it_from_ending(readme, broker, listener):
    program = readme()
    listener.wait_for(3)
    broker.stop()
    program.wait_for_line(rf"127\.0\.0\.1:{broker.port}")
    stop(program)


def test_a_broker_that_never_was_there_does_not_keep_it_from_ending(run, broker):
    broker.stop()
    program = run(
        "gst-launch-1.0", "-e", "videotestsrc", "is-live=true", "!", "jpegenc",
        "!", "orionpyinfer", "detector=motion", "!", "orionmqttsink", f"uri={broker.uri}",
    )  # fmt: skip
    program.wait_for_line(rf"127\.0\.0\.1:{broker.port}.*is mosquitto")
    stop(program)


@pytest.mark.parametrize("kind", ["missing", "no model", "a folder"])
def test_an_unreadable_model_ends_it_with_cause_and_remedy(run, tmp_path, kind):
    model = tmp_path / "model.onnx"
    if kind == "no model":
        model.write_text("this is no model")
    elif kind == "a folder":
        model.mkdir()
    program = run(
        "gst-launch-1.0", "videotestsrc", "is-live=true", "!", "jpegenc", "!", "orionpyinfer",
        f"model-file={model}", "!", "fakesink",
    )  # fmt: skip
    assert program.wait(30) != 0
    error = program.wait_for_line("ERROR: from element").group(0) and program.output
    assert str(model) in error
    assert children(program.pid) == []


def test_an_empty_model_folder_ends_it_with_the_remedy(run, tmp_path):
    program = run(
        "gst-launch-1.0", "videotestsrc", "is-live=true", "!", "jpegenc", "!", "orionpyinfer",
        f"model-dir={tmp_path}", "!", "fakesink",
    )  # fmt: skip
    assert program.wait(30) != 0
    assert program.wait_for_line(rf"no model of size 'n' in {tmp_path}.*download_models\.sh yolox-nano")


def test_a_missing_python_environment_ends_it_with_the_remedy(run, tmp_path):
    program = run(
        "gst-launch-1.0", "videotestsrc", "is-live=true", "!", "jpegenc",
        "!", "orionpyinfer", "!", "fakesink",
        ORION_VENV=str(tmp_path / "nowhere"),
    )  # fmt: skip
    assert program.wait(30) != 0
    assert program.wait_for_line(rf"{tmp_path}/nowhere does not exist; run `make setup`")


def test_motion_needs_no_model_and_no_daemon(run, broker, listener, camera):
    program = run(
        shell=command("motion with gst-launch"), RTSP_URL=camera("--fps", "10"), MQTT_URI=broker.uri
    )
    heard = listener.wait_for(40)
    assert {topic for topic, _ in heard} == {"care/inferences/orion/motion_detection"}
    assert any(result["data"]["count"] for _, result in heard), "the ball moves"
    stop(program)


def test_inspection_shows_units_defaults_and_the_version(run):
    for element in ("orionroi", "orionpyinfer", "orionmqttsink"):
        program = run("gst-inspect-1.0", element)
        assert program.wait(20) == 0, program.output
        text = program.output
        assert "Version                  0.1.0" in text
        own = text.split("Element Properties:")[1].split("Element Actions:")[0]
        for line in own.splitlines():
            name, separator, blurb = line.partition(" : ")
            inherited = name.strip() in {
                "name", "parent", "qos", "async", "blocksize", "enable-last-sample", "last-sample",
                "max-bitrate", "max-lateness", "processing-deadline", "render-delay", "sync", "throttle-time",
                "ts-offset", "num-buffers",
            }  # fmt: skip
            if separator and line.startswith("  ") and not line.startswith("   ") and not inherited:
                assert "default: " in blurb or name.strip() == "stats", f"{element}: {line}"
