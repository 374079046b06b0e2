# SPDX-License-Identifier: MPL-2.0
"""A detector of one's own in a few lines, behind the same protocol."""

import sys
import textwrap

import numpy as np
import pytest
from worker_process import frame_message

import orion_worker

DOCUMENTED = textwrap.dedent(orion_worker.__doc__.partition("one call:\n")[2].partition("\n`load`")[0])

RUDE = """
import os, sys
import orion_worker

print("a greeting while it is imported")

class Rude:
    name = "rude"
    result_type = "rudeness"

    def load(self):
        print("loading")
        os.system("echo from a child process")
        os.write(1, b"straight to descriptor 1")
        return orion_worker.Models()

    def infer(self, image, attention):
        print("frame", image.shape, flush=True)
        if image[0, 0, 0] == 1:
            raise RuntimeError("no mood for this one")
        if image[0, 0, 0] == 2:
            return orion_worker.Inference([orion_worker.Detection(float("nan"), 0, 1, 1, 1, "x", 0)])
        if image[0, 0, 0] == 3:
            assert sys.stdin.read() == ""
            os.system("cat")
        return orion_worker.Inference([orion_worker.Detection(-5, -5, 10, 10, 1.5, "x", 0)])

    def describe(self):
        return {"mood": "bad"}

sys.exit(orion_worker.run(Rude()))
"""


@pytest.fixture
def program(tmp_path, start):
    def launch(text: str):
        path = tmp_path / "detector.py"
        path.write_text(text)
        return start(program=(sys.executable, path))

    return launch


def picture(value: int) -> np.ndarray:
    return np.full((24, 32, 3), value, np.uint8)


def test_the_example_in_the_documentation_works(program):
    worker = program(DOCUMENTED)
    assert worker.ready()["worker"] == "dark_room"
    assert worker.ask(frame_message(picture(200)))["data"]["count"] == 0
    result = worker.ask(frame_message(picture(5)))
    assert result["type"] == "dark_room_detection"
    assert result["data"]["detections"] == [
        {
            "bbox": {"x": 0.0, "y": 0.0, "width": 32.0, "height": 24.0},
            "confidence": 1.0,
            "label": "dark",
            "label_id": 0,
        }
    ]
    assert worker.ask({"type": "command", "id": "", "command": "describe"})["data"]["limit"] == 20
    refused = worker.ask(
        {"type": "command", "id": "", "command": "set_confidence", "params": {"confidence": 1}}
    )
    assert refused["error"] == "dark_room does not support set_confidence"
    assert worker.finish() == 0


def test_nothing_a_detector_prints_gets_into_the_messages(program):
    worker = program(RUDE.replace('print("a greeting while it is imported")', ""))
    worker.ready()
    for seq in range(3):
        result = worker.ask(frame_message(picture(9), seq))
        assert result["data"]["detections"][0]["bbox"] == {"x": 0.0, "y": 0.0, "width": 5.0, "height": 5.0}
        assert result["data"]["detections"][0]["confidence"] == 1.0
    assert worker.finish() == 0
    text = worker.stderr()
    assert all(
        line in text for line in ("from a child process", "straight to descriptor 1", "frame (24, 32, 3)")
    )


def test_a_detector_that_fails_costs_its_frame_only(program):
    worker = program(RUDE.replace('print("a greeting while it is imported")', ""))
    worker.ready()
    answer = worker.ask(frame_message(picture(1), 11))
    assert (answer["code"], answer["frame_seq"]) == ("inference_failed", 11)
    assert answer["message"] == "RuntimeError: no mood for this one"
    answer = worker.ask(frame_message(picture(2), 12))
    assert (answer["code"], answer["frame_seq"]) == ("inference_failed", 12)
    assert worker.ask(frame_message(picture(9), 13))["frame_seq"] == 13


def test_a_detector_and_its_children_cannot_eat_messages(program):
    worker = program(RUDE.replace('print("a greeting while it is imported")', ""))
    worker.ready()
    worker.send(frame_message(picture(3), 1))
    worker.send(frame_message(picture(9), 2))
    assert [worker.receive()["frame_seq"] for _ in range(2)] == [1, 2]


def test_a_detector_that_cannot_load_is_said_in_one_line(program):
    worker = program(RUDE.replace('os.system("echo from a child process")', 'raise ValueError("no lens")'))
    assert b"type" not in worker.read_to_end()
    assert worker.wait() == 70
    assert "[ERROR] internal error: ValueError: no lens" in worker.stderr()


def test_a_result_type_that_is_no_topic_level_is_refused(program):
    worker = program(DOCUMENTED.replace("def load", 'result_type = "dark/room"\n\n    def load'))
    assert worker.read_to_end() == b""
    assert worker.wait() == 70
    assert "result type 'dark/room'" in worker.stderr()
