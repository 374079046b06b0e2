# SPDX-License-Identifier: MPL-2.0
"""The worker process on the wire: every message one answer, every ending in order."""

import json
import os
import select
import time

import msgspec
import numpy as np
import pytest
from tiny_models import constant, yolo_columns
from worker_process import frame_message, jpeg, jpeg_message

BLANK = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def model(tmp_path):
    return constant(tmp_path / "m.onnx", yolo_columns([[32, 32, 16, 16, 0.9]], 84), 64)


@pytest.fixture
def worker(start, model):
    running = start("--model", model, "--threads", 1)
    running.ready()
    return running


def command(name: str, **params: object) -> dict:
    return {"type": "command", "id": f"id-{name}", "command": name, "params": params}


def still_works(worker) -> bool:
    return worker.ask(frame_message(BLANK, 99))["frame_seq"] == 99


def test_ready_comes_first_and_describes_the_worker(start, model):
    worker = start("--model", model, "--threads", "3")
    ready = worker.ready()
    assert (ready["protocol"], ready["threads"]) == (1, 3)
    assert ready["worker"] == "person_detector"
    assert ready["version"] == "0.1.0"
    assert ready["pid"] == worker.pid
    assert ready["load_ms"] > 0
    assert ready["models"]["file_640"] == "m.onnx"
    assert len(ready["models"]["sha256"]["m.onnx"]) == 64


def test_the_result_carries_the_frame_it_belongs_to(worker):
    result = worker.ask(frame_message(BLANK, 2**64 - 1))
    assert result["frame_seq"] == 2**64 - 1
    assert (result["instance_id"], result["room_id"]) == ("cam", "room")
    assert result["timestamp"] == "2025-01-01T00:00:00.000000001Z"
    assert result["data"]["metadata"]["frame_width"] == 64
    assert result["data"]["metadata"]["frame_height"] == 48
    assert result["data"]["metadata"]["roi_processing"] is None
    assert result["data"]["metadata"]["roi_attention"] is False


def test_a_message_without_type_is_a_frame(worker):
    message = frame_message(BLANK, 4)
    del message["type"]
    assert worker.ask(message)["frame_seq"] == 4


def test_frames_sent_at_once_are_answered_in_order(worker):
    for seq in range(20):
        worker.send(frame_message(BLANK, seq))
    assert [worker.receive()["frame_seq"] for _ in range(20)] == list(range(20))
    assert worker.finish() == 0


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"frame_data": b"123"}, "bad_frame", "3 bytes of bgr for 64x48 px, expected 9216"),
        ({"frame_data": b"", "format": "jpeg"}, "bad_frame", "no JPEG"),
        ({"frame_data": b"\xff\xd8\xff\xd9", "format": "jpeg"}, "bad_frame", "no frame header"),
        ({"frame_data": jpeg(BLANK)[:-100], "format": "jpeg"}, "bad_frame", "JPEG cannot be decoded"),
        (
            {"frame_data": jpeg(BLANK), "format": "jpeg", "width": 640},
            "bad_frame",
            "64x48 px in a frame announced as 640x48",
        ),
        ({"width": 0}, "bad_frame", "bgr frame of 0x48 px"),
        ({"width": -1}, "bad_message", "$.width"),
        ({"width": "64"}, "bad_message", "$.width"),
        ({"format": "webp"}, "bad_message", "$.format"),
        ({"frame_data": "text"}, "bad_message", "$.frame_data"),
    ],
)
def test_a_bad_frame_is_answered_with_its_number_and_the_reason(worker, changes, code, text):
    answer = worker.ask(frame_message(BLANK, 17) | changes)
    assert (answer["type"], answer["code"], answer["frame_seq"]) == ("error", code, 17), answer
    assert text in answer["message"]
    assert still_works(worker)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "truncated"),
        (b"\xc1garbage", "malformed"),
        (os.urandom(64) + b"\xc1", ""),
        (msgspec.msgpack.encode([1, 2]), "Expected `object`, got `array`"),
        (msgspec.msgpack.encode({"type": "telemetry"}), "unknown type 'telemetry'"),
        (msgspec.msgpack.encode({"type": 5}), "$.type"),
        (msgspec.msgpack.encode({"type": "command", "id": "1"}), "missing required field `command`"),
        (msgspec.msgpack.encode({"type": "frame"}), "missing required field `width`"),
        (b"\x91" * 100_000, ""),
    ],
    ids=["empty", "reserved", "random", "array", "tag", "type", "command", "frame", "nested"],
)
def test_a_body_that_is_no_message_is_answered_and_the_next_one_served(worker, body, text):
    worker.send_body(body)
    answer = worker.receive()
    assert (answer["type"], answer["code"]) == ("error", "bad_message"), answer
    assert text in answer["message"]
    assert "frame_seq" not in answer
    assert still_works(worker)


def test_a_frame_without_picture_still_gets_its_number_back(worker):
    message = frame_message(BLANK, 31)
    del message["frame_data"]
    answer = worker.ask(message)
    assert (answer["code"], answer["frame_seq"]) == ("bad_message", 31)
    assert "frame_data" in answer["message"]


def test_a_length_above_64_mib_ends_the_worker_with_an_error(worker):
    worker.send_bytes((64 * 1024 * 1024 + 1).to_bytes(4, "big"))
    answer = worker.receive()
    assert (answer["type"], answer["code"]) == ("error", "message_too_long")
    assert worker.wait() == 5
    assert "[ERROR] message length 67108865 bytes" in worker.stderr()


def test_the_longest_legal_message_is_served(worker):
    width, height = 4096, 5461
    answer = worker.ask(frame_message(np.zeros((height, width, 3), np.uint8), 8))
    assert answer["data"]["metadata"]["frame_width"] == width


def test_input_that_ends_inside_a_message_is_an_error(worker):
    worker.send_bytes((100).to_bytes(4, "big") + b"only some")
    worker.close_input()
    answer = worker.receive()
    assert (answer["type"], answer["code"]) == ("error", "truncated_message")
    assert worker.wait() == 5


def test_a_message_in_small_pieces_is_put_together(worker):
    body = msgspec.msgpack.encode(frame_message(BLANK, 12))
    data = len(body).to_bytes(4, "big") + body
    for at in range(0, len(data), 997):
        worker.send_bytes(data[at : at + 997])
    assert worker.receive()["frame_seq"] == 12


def test_the_end_of_input_lets_the_frame_in_hand_finish(worker):
    worker.send(frame_message(BLANK, 77))
    worker.close_input()
    assert worker.receive()["frame_seq"] == 77
    assert worker.read_to_end() == b""
    assert worker.wait() == 0


def test_sigterm_ends_the_worker(worker):
    assert worker.terminate() == -15


def test_sigint_is_left_to_the_host(worker):
    worker.process.send_signal(2)
    assert still_works(worker)
    assert worker.finish() == 0


def test_a_host_that_has_gone_is_no_error(worker):
    worker.process.stdout.close()
    worker.send(frame_message(BLANK))
    assert worker.wait() == 0
    assert "Traceback" not in worker.stderr()
    assert "[ERROR]" not in worker.stderr()


def test_commands_are_acknowledged(worker):
    answer = worker.ask(command("ping"))
    assert answer == {
        "type": "ack",
        "id": "id-ping",
        "command": "ping",
        "status": "success",
        "data": {"worker": "person_detector", "version": "0.1.0"},
        "error": None,
    }
    assert worker.ask(command("set_confidence", confidence=0.95))["data"] == {"confidence": 0.95}
    assert worker.ask(frame_message(BLANK))["data"]["count"] == 0


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (command("reboot"), "unknown command 'reboot'; known: ping, describe"),
        (command("set_confidence"), "params.confidence: missing"),
        (command("set_confidence", confidence=1.5), "params.confidence: 1.5 is not between 0 and 1"),
        (command("set_confidence", confidence="0.5"), "params.confidence: '0.5' is not a number"),
        (command("set_confidence", confidence=True), "params.confidence: True is not a number"),
        (command("set_confidence", confidence=0.5, colour="red"), "params.colour: unknown parameter"),
        (
            command("set_iou_threshold", iou_threshold=float("nan")),
            "params.iou_threshold: nan is not between",
        ),
        (command("set_labels", labels=["person", "unicorn"]), "params.labels: unknown label 'unicorn'"),
        (command("set_labels", labels=[]), "params.labels: an empty name is no label"),
        (command("set_labels", labels=[1]), "params.labels: [1] is not a list of names"),
        (command("ping", loudly=True), "params.loudly: unknown parameter"),
    ],
)
def test_a_wrong_command_is_refused_by_name_and_changes_nothing(worker, request_, text):
    before = worker.ask(command("describe"))["data"]
    answer = worker.ask(request_)
    assert (answer["status"], answer["id"]) == ("error", request_["id"])
    assert text in answer["error"]
    assert worker.ask(command("describe"))["data"] == before


def test_a_person_can_type_commands_as_json_lines(worker):
    worker.send_bytes(b'{"command":"ping"}\n\r\n')
    assert worker.receive()["status"] == "success"
    worker.send_bytes(b'{"type":"command","id":"7","command":"set_confidence","params":{"confidence":0.3}}\n')
    answer = worker.receive()
    assert (answer["id"], answer["data"]) == ("7", {"confidence": 0.3})
    worker.send_bytes(b"{command: ping}\n")
    assert worker.receive()["code"] == "bad_message"
    worker.send_bytes(json.dumps({"type": "frame", "command": "x"}).encode() + b"\n")
    assert worker.receive()["code"] == "bad_message"
    assert still_works(worker)


def test_an_endless_json_line_ends_the_worker_with_an_error(worker):
    worker.send_bytes(b"{" + b" " * (64 * 1024))
    assert worker.receive()["code"] == "message_too_long"
    assert worker.wait() == 5


def test_an_idle_worker_uses_no_processor_time(start, model):
    worker = start("--model", model, "--threads", 4)  # spinning threads would show here
    worker.ready()
    for seq in range(5):
        worker.ask(frame_message(BLANK, seq))
    shares = []
    # What the last frame has left to be done is over soon; threads that spin are not.
    while not shares or (shares[-1] >= 0.02 and len(shares) < 10):
        before, start = worker.cpu_seconds(), time.monotonic()
        # An idle worker writes nothing, so this waits for the full second.
        readable, _, _ = select.select([worker.process.stdout], [], [], 1.0)
        assert not readable
        shares.append((worker.cpu_seconds() - before) / (time.monotonic() - start))
    assert shares[-1] < 0.02, f"shares of a processor, second by second: {shares}"


def test_many_bad_frames_do_not_flood_the_log(worker):
    image = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    data = bytearray(jpeg(image))
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    for seq in range(200):
        answer = worker.ask(jpeg_message(bytes(data), seq))
        assert answer["frame_seq"] == seq
    assert len(worker.stderr().splitlines()) < 10
