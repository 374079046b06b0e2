# SPDX-License-Identifier: MPL-2.0
"""The next frame is prepared while the current one is inferred; answers stay in order, and nothing hangs."""

import sys

import cv2
import numpy as np
import pytest
from tiny_models import constant, yolo_columns
from worker_process import frame_message, jpeg, jpeg_message

from orion_worker import images

# What a frame's first pixel makes the detector do.
WAITS, FAILS, LEAVES, LINGERS, PLAIN = 1, 2, 3, 4, 9

STAGED = """
import sys, threading, time
import orion_worker

begun = [threading.Event() for _ in range(1000)]
count = 0

class Staged:
    def prepare(self, image, attention):
        global count
        begun[count].set()
        count += 1
        if image[0, 0, 0] == 2:
            raise RuntimeError("cannot prepare this one")
        if image[0, 0, 0] == 3:
            sys.exit(9)
        return count, int(image[0, 0, 0]), threading.current_thread() is threading.main_thread()

    def finish(self, prepared):
        number, order, on_main_thread = prepared
        met = begun[number].wait(20) if order == 1 else False
        if order == 4:
            threading.Event().wait(0.3)
        data = {"met": met, "prepared_on_main": on_main_thread,
                "finished_on_main": threading.current_thread() is threading.main_thread()}
        return orion_worker.Inference([], metadata=data)

sys.exit(orion_worker.run(Staged()))
"""

INFER_ONLY = """
import sys, threading
import orion_worker

class Plain:
    def infer(self, image, attention):
        found = {"on_main": threading.current_thread() is threading.main_thread()}
        print(f"frame {image[0, 0, 0]}", file=sys.stderr)
        return orion_worker.Inference([], metadata=found)

sys.exit(orion_worker.run(Plain()))
"""


@pytest.fixture
def program(tmp_path, start):
    def launch(text: str):
        path = tmp_path / "detector.py"
        path.write_text(text)
        worker = start(program=(sys.executable, path))
        worker.ready()
        return worker

    return launch


def picture(order: int) -> np.ndarray:
    return np.full((24, 32, 3), order, np.uint8)


def test_a_frame_is_prepared_while_the_one_before_is_inferred(program):
    worker = program(STAGED)
    # The inference of the first ends only when the preparation of the second has begun.
    worker.send(frame_message(picture(WAITS), 1))
    worker.send(frame_message(picture(PLAIN), 2))
    first, second = worker.receive(), worker.receive()
    assert (first["frame_seq"], second["frame_seq"]) == (1, 2)
    metadata = first["data"]["metadata"]
    assert (metadata["met"], metadata["prepared_on_main"], metadata["finished_on_main"]) == (
        True,
        False,
        True,
    )
    assert worker.finish() == 0


def test_a_detector_with_infer_only_runs_on_the_main_thread(program):
    worker = program(INFER_ONLY)
    assert worker.ask(frame_message(picture(PLAIN)))["data"]["metadata"]["on_main"] is True
    assert worker.finish() == 0


def test_waiting_for_its_turn_is_no_work_on_a_frame(program):
    worker = program(STAGED)
    worker.send(frame_message(picture(LINGERS), 1))
    worker.send(frame_message(picture(PLAIN), 2))
    first, second = worker.receive()["timing"], worker.receive()["timing"]
    assert first["total_ms"] >= 300
    assert second["total_ms"] < 150, second
    assert second["preprocess_ms"] <= second["total_ms"]


def test_a_failing_preparation_costs_its_frame_only(program):
    worker = program(STAGED)
    for seq, order in enumerate((LINGERS, FAILS, PLAIN)):
        worker.send(frame_message(picture(order), seq))
    answers = [worker.receive() for _ in range(3)]
    assert [answer["frame_seq"] for answer in answers] == [0, 1, 2]
    assert answers[1]["code"] == "inference_failed"
    assert answers[1]["message"] == "RuntimeError: cannot prepare this one"
    assert worker.finish() == 0


def test_a_preparation_that_ends_the_process_ends_it_after_the_answers_before(program):
    worker = program(STAGED)
    worker.send(frame_message(picture(LINGERS), 1))
    worker.send(frame_message(picture(LEAVES), 2))
    assert worker.receive()["frame_seq"] == 1
    assert worker.read_to_end() == b""
    assert worker.wait() == 9


@pytest.mark.parametrize(
    ("tail", "code"),
    [((100).to_bytes(4, "big") + b"cut", "truncated_message"), (b"\xff\xff\xff\xff", "message_too_long")],
)
def test_a_broken_stream_is_answered_after_everything_before_it(program, tail, code):
    worker = program(STAGED)
    for seq in range(3):
        worker.send(frame_message(picture(LINGERS if seq == 0 else PLAIN), seq))
    worker.send_bytes(tail)
    worker.close_input()
    assert [worker.receive()["frame_seq"] for _ in range(3)] == [0, 1, 2]
    assert worker.receive()["code"] == code
    assert worker.wait() == 5


def test_the_end_of_input_finishes_all_in_hand(program):
    worker = program(STAGED)
    for seq in range(5):
        worker.send(frame_message(picture(LINGERS if seq == 0 else PLAIN), seq))
    worker.close_input()
    assert [worker.receive()["frame_seq"] for _ in range(5)] == list(range(5))
    assert worker.read_to_end() == b""
    assert worker.wait() == 0


def test_a_host_that_goes_while_frames_are_in_hand_is_no_error(program):
    worker = program(STAGED)
    worker.send(frame_message(picture(LINGERS), 1))
    worker.send(frame_message(picture(PLAIN), 2))
    worker.process.stdout.close()
    assert worker.wait() == 0
    assert "[ERROR]" not in worker.stderr()


def test_frames_commands_and_errors_are_answered_in_the_order_in_which_they_came(start, tmp_path):
    model = constant(tmp_path / "m.onnx", yolo_columns([[32, 32, 16, 16, 0.7]], 84), 64)
    worker = start("--model", model, "--threads", 1)
    worker.ready()
    blank = np.zeros((48, 64, 3), np.uint8)
    messages, expected = [], []
    for seq in range(0, 60, 3):
        strict = seq % 2
        params = {"confidence": 0.9 if strict else 0.1}
        messages += [
            {"type": "command", "id": str(seq), "command": "set_confidence", "params": params},
            frame_message(blank, seq),
            jpeg_message(b"no picture", seq + 1),
        ]
        expected += [("ack", str(seq)), ("person_detection", seq, 0 if strict else 1), ("error", seq + 1)]
    for message in messages:
        worker.send(message)
    got = []
    for _ in messages:
        answer = worker.receive()
        key = answer["id"] if answer["type"] == "ack" else answer["frame_seq"]
        count = (answer["data"]["count"],) if answer["type"] == "person_detection" else ()
        got.append((answer["type"], key, *count))
    # A threshold holds for the frames after its command, although they were prepared before.
    assert got == expected
    assert worker.finish() == 0


def test_what_is_logged_while_a_picture_is_decoded_is_neither_lost_nor_taken_for_libjpegs(program):
    worker = program(INFER_ONLY)
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    first_pixel = images.decode(jpeg(noise), "jpeg", 0, 0)[0, 0, 0]
    good, cut = jpeg(noise), jpeg(noise)[:-5000] + b"\xff\xd9"  # of this cut libjpeg complains
    for seq in range(0, 100, 2):
        worker.send(jpeg_message(good, seq))
        worker.send(jpeg_message(cut, seq + 1))
        first, second = worker.receive(), worker.receive()
        assert (first["type"], first["frame_seq"]) == ("plain_detection", seq), first
        assert (second["code"], second["frame_seq"]) == ("bad_frame", seq + 1)
        complaint = "JPEG is damaged: Corrupt JPEG data: premature end of data segment"
        assert second["message"] == complaint
    assert worker.finish() == 0
    assert worker.stderr().splitlines().count(f"frame {first_pixel}") == 50


LOGGING = """
import logging, os, sys, warnings
from orion_worker.log import configure
from orion_worker.nativelog import native_log
from orion_worker.stdio import Channel

configure()
Channel.claim()
with native_log() as caught:
    logging.getLogger("somebody.else").warning("logged: gr\\u00fc\\u00df")
    warnings.warn("warned")
    print("printed")
    print("complained", file=sys.stderr)
    os.write(2, b"libjpeg's")
assert caught.text == "libjpeg's", caught.text
"""


def test_only_c_code_is_caught_while_a_picture_is_decoded(start):
    worker = start(program=(sys.executable, "-c", LOGGING), PYTHONIOENCODING="ascii", LC_ALL="C")
    assert worker.read_to_end() == b""
    assert worker.wait() == 0
    lines = worker.stderr().splitlines()
    assert lines[0] == "[WARNING] logged: grüß"
    assert lines[1].startswith("[WARNING] ") and "UserWarning: warned" in lines[1]
    assert lines[2:] == ["printed", "complained"]


def test_memory_is_flat_over_two_thousand_frames(start):
    worker = start("--detector", "motion", "--threads", 1)
    worker.ready()
    plain = np.full((240, 320, 3), 128, np.uint8)
    pictures = [jpeg(np.roll(cv2.circle(plain.copy(), (99, 99), 30, 255, -1), 9 * n)) for n in range(4)]
    worker.send(jpeg_message(pictures[0], 0))
    memory = {}
    for seq in range(2000):
        worker.send(jpeg_message(pictures[(seq + 1) % 4], seq + 1))  # two are out at a time
        assert worker.receive()["frame_seq"] == seq
        if seq in (499, 1999):
            memory[seq] = worker.memory_bytes("VmRSS")
    # One picture that is kept every ten frames would make 34 MB.
    assert memory[1999] - memory[499] < 4 * 1024 * 1024, memory
