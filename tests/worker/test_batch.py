# SPDX-License-Identifier: MPL-2.0
"""Frames that are inferred in one run: the same results as alone, each with its own fate."""

import sys
import threading

import numpy as np
import onnx
import pytest
from onnx import helper
from tiny_models import any_number, constant, red_finder_yolo, save, yolo_columns
from worker_process import PATIENCE_S, frame_message, jpeg, jpeg_message, roi

from orion_worker.ahead import Ahead
from orion_worker.detector import Attention
from orion_worker.errors import UsageError
from orion_worker.network import Network
from orion_worker.options import parse
from orion_worker.person import PersonDetector

WAIT = ("--max-batch", "4", "--batch-wait", "1000")


@pytest.fixture
def pair(tmp_path):
    return any_number(tmp_path / "large.onnx", 640), any_number(tmp_path / "small.onnx", 320)


@pytest.fixture
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [np.full((48 + 8 * n, 64, 3), rng.integers(0, 255, 3), np.uint8) for n in range(6)]


def boxes(result: dict) -> np.ndarray:
    assert result["type"] == "person_detection", result
    found = [(*d["bbox"].values(), d["confidence"]) for d in result["data"]["detections"]]
    assert found
    return np.array(found)


def test_a_batch_finds_what_each_picture_alone_gives(pair, pictures, start):
    one_by_one = start("--model", pair[0], "--model-320", pair[1])
    assert "max_batch" not in one_by_one.ready()
    together = start("--model", pair[0], "--model-320", pair[1], *WAIT)
    ready = together.ready()
    assert (ready["max_batch"], ready["batch_wait_ms"]) == (4, 1000.0)
    for seq, picture in enumerate(pictures[:4]):
        together.send(frame_message(picture, seq))
    for seq, picture in enumerate(pictures[:4]):
        alone, shared = one_by_one.ask(frame_message(picture, seq)), together.receive()
        assert shared["frame_seq"] == seq
        assert np.allclose(boxes(shared), boxes(alone), rtol=1e-4, atol=1e-4)
        assert shared["timing"]["batch"] == 4 and "batch" not in alone["timing"]
        assert shared["data"]["metadata"] == alone["data"]["metadata"]
    assert together.finish() == 0


def test_only_frames_for_one_model_are_run_together_and_answers_stay_in_order(pair, pictures, start):
    worker = start("--model", pair[0], "--model-320", pair[1], *WAIT)
    worker.ready()
    small = {"roi_processing": roi(0.0, 0.0, 1.0, 1.0, target_size=320)}
    for seq, more in enumerate(({}, {}, small, small, small, {})):
        worker.send(frame_message(pictures[seq], seq, **more))
    worker.close_input()
    answers = [worker.receive() for _ in range(6)]
    assert [answer["frame_seq"] for answer in answers] == list(range(6))
    assert [answer["timing"].get("batch") for answer in answers] == [2, 2, 3, 3, 3, None]
    assert [answer["data"]["metadata"]["model_selected"] for answer in answers] == [
        *["640"] * 2,
        *["320"] * 3,
        "640",
    ]


def test_a_broken_picture_takes_no_other_with_it(pair, pictures, start):
    worker = start("--model", pair[0], *WAIT)
    worker.ready()
    worker.send(frame_message(pictures[0], 0))
    worker.send(jpeg_message(jpeg(pictures[1])[:200], 1))
    worker.send(frame_message(pictures[2], 2))
    worker.send(frame_message(pictures[3], 3))
    answers = [worker.receive() for _ in range(4)]
    assert [answer["frame_seq"] for answer in answers] == [0, 1, 2, 3]
    assert answers[1]["code"] == "bad_frame"
    assert {answers[n]["timing"]["batch"] for n in (0, 2, 3)} == {3}
    worker.send({"type": "command", "command": "describe", "id": "d"})
    described = worker.receive()["data"]
    assert described["frames"] == {"received": 4, "results": 3, "errors": 1, "shm": 0}
    assert (described["max_batch"], described["batch_wait_ms"]) == (4, 1000.0)


def test_a_command_separates_the_frames_before_it_from_those_behind_it(pair, pictures, start):
    worker = start("--model", pair[0], *WAIT)
    worker.ready()
    worker.send(frame_message(pictures[0], 0))
    worker.send({"type": "command", "command": "set_confidence", "id": "c", "params": {"confidence": 0.99}})
    worker.send(frame_message(pictures[1], 1))
    worker.close_input()
    first, ack, second = (worker.receive() for _ in range(3))
    assert (first["data"]["count"] > 0, ack["status"], second["data"]["count"]) == (True, "success", 0)


def test_without_a_wait_a_frame_that_is_alone_is_not_held_up(pair, pictures, start):
    worker = start("--model", pair[0], "--max-batch", "4")
    assert "batch_wait_ms" not in worker.ready()
    answer = worker.ask(frame_message(pictures[0], 0))
    assert "batch" not in answer["timing"]


def test_a_batch_that_fails_is_run_one_by_one(tmp_path, start):
    path = tmp_path / "detector.py"
    path.write_text(FAILING)
    worker = start(program=(sys.executable, path))
    assert worker.ready()["max_batch"] == 3
    for seq, shade in enumerate((1, 2, 9)):
        worker.send(frame_message(np.full((8, 8, 3), shade, np.uint8), seq))
    answers = [worker.receive() for _ in range(3)]
    assert [answer.get("code") for answer in answers] == [None, "inference_failed", None]
    assert all("batch" not in answer.get("timing", {}) for answer in answers)
    assert "3 frames at once: RuntimeError: no memory; one by one now" in worker.stderr()


FAILING = """
import sys
import orion_worker

class Mine:
    max_batch = 3
    batch_wait_ms = 1000

    def prepare(self, image, attention):
        return int(image[0, 0, 0])

    def batch_key(self, prepared):
        return 0

    def finish(self, prepared):
        if prepared == 2:
            raise RuntimeError("not this one")
        return []

    def finish_batch(self, prepared):
        raise RuntimeError("no memory")

sys.exit(orion_worker.run(Mine()))
"""


def test_one_that_fails_behind_the_model_fails_alone(pair, pictures, monkeypatch):
    detector = PersonDetector(parse(["--model", str(pair[0]), "--max-batch", "4"], pair[0].parent))
    detector.load()
    views = [detector.prepare(picture, Attention()) for picture in pictures[:3]]
    expected = [
        detector.finish(detector.prepare(picture, Attention())).detections for picture in pictures[:3]
    ]
    real, calls = type(detector)._inference, []

    def failing(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("not this one")
        return real(self, *arguments)

    monkeypatch.setattr(PersonDetector, "_inference", failing)
    first, second, third = detector.finish_batch(views)
    assert isinstance(second, RuntimeError)
    assert np.allclose(
        [d.x for d in (*first.detections, *third.detections)],
        [d.x for d in (*expected[0], *expected[2])],
        rtol=1e-4,
    )


def network(path, most: int = 4) -> Network:
    return Network.open(path, "auto", "cpu", 1, 64, most)


def test_only_a_model_that_leaves_the_number_open_takes_several(tmp_path, pair, caplog):
    assert network(pair[1]).max_batch == 4
    assert network(pair[1], most=1).max_batch == 1
    fixed = constant(tmp_path / "fixed.onnx", yolo_columns([], 84), 64)
    assert network(fixed).max_batch == 1
    # It says that it takes any number and answers for the first one.
    pretends = constant(tmp_path / "pretends.onnx", yolo_columns([], 84), input_shape=["N", 3, 64, 64])
    assert network(pretends).max_batch == 1
    # It cannot do with two what it does with one.
    model = onnx.load(red_finder_yolo(tmp_path / "breaks.onnx", 64))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, tmp_path / "breaks.onnx")
    assert network(tmp_path / "breaks.onnx").max_batch == 1


def test_a_model_that_mixes_pictures_up_takes_one(tmp_path):
    node = helper.make_node
    count = 84
    nodes = [
        node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        # Of all pictures together.
        node("ReduceMean", ["mean"], ["all"], keepdims=1),
        node("Sub", ["mean", "all"], ["own"]),
        node("Add", ["own", "all"], ["same"]),
        node("Mul", ["same", "zero"], ["nothing"]),
        node("Add", ["nothing", "all"], ["mixed"]),
        node("Reshape", ["mixed", "column"], ["means"]),
        node("Add", ["means", "columns"], ["output"]),
    ]
    constants = {
        "zero": np.float32(0).reshape(()),
        "column": np.array([-1, 1, 1]),
        "columns": np.zeros((1, 84, count), np.float32),
    }
    assert network(save(tmp_path / "mixes.onnx", nodes, constants, ["N", 3, 64, 64])).max_batch == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--threads", "1"], 1),
        (["--max-batch", "0", "--threads", "1"], 1),
        (["--max-batch", "0", "--threads", "8"], 1),
        (["--max-batch", "0", "--threads", "1", "--execution-provider", "cuda"], 4),
        (["--max-batch", "8", "--threads", "1"], 8),
    ],
)
def test_batches_are_chosen_where_they_gain(tmp_path, arguments, expected):
    assert parse(arguments, tmp_path).wanted_batch() == expected


@pytest.mark.parametrize(
    "arguments",
    [("--max-batch", "9"), ("--max-batch", "x"), ("--batch-wait", "1001"), ("--batch-wait", "nan")],
)
def test_wrong_batches_are_named(tmp_path, arguments):
    with pytest.raises(UsageError, match=arguments[0]):
        parse(arguments, tmp_path)


def test_items_are_taken_together_as_far_as_they_suit():
    left = [1, 3, 5, 6, 7, 9]
    ready = threading.Semaphore(0)
    ahead = Ahead(lambda: left.pop(0) if left else None, lambda item: ready.release() or item, 4)
    ahead.start()
    for _ in range(4):
        assert ready.acquire(timeout=PATIENCE_S)
    assert not ready.acquire(blocking=False), "no more than four lie ready"
    assert ahead.take() == 1
    odd = lambda item: item % 2 == 1  # noqa: E731
    assert ahead.take_more(1, odd, 0.0) == [3]
    assert ahead.take_more(3, odd, PATIENCE_S) == [5], "6 does not suit, and nothing behind it is waited for"
    assert ahead.take() == 6
    assert ahead.take_more(9, odd, PATIENCE_S) == [7, 9], "the end is no reason to wait"
    assert ahead.take() is None
