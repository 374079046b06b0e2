# SPDX-License-Identifier: MPL-2.0
"""The golden messages, shared with the Rust side, read and written through `orion_worker.wire`."""

import base64
import io
import json
import subprocess
import sys

import msgspec
import pytest

from orion_worker import images, wire
from orion_worker.errors import MessageError
from orion_worker.framing import frame, read_message

FRAMES = ["frame_jpeg", "frame_raw_rgb", "frame_without_type", "frame_roi"]
# What a worker writes, and the structure that writes it.
WRITTEN = {
    "ready_shm": wire.Ready,
    "ready_batch": wire.Ready,
    "ready": wire.Ready,
    "ready_motion": wire.Ready,
    "result_person": wire.Result,
    "result_empty": wire.Result,
    "result_motion": wire.Result,
    "ack_success": wire.Ack,
    "ack_error": wire.Ack,
    "error_with_seq": wire.ErrorMessage,
    "error_without_seq": wire.ErrorMessage,
}


def body(wire_dir, name):
    message = read_message(io.BytesIO((wire_dir / f"{name}.msg").read_bytes()))
    assert message is not None and not message.typed
    return message.body


def as_json(wire_dir, name):
    return json.loads((wire_dir / f"{name}.json").read_text())


def test_the_golden_files_are_what_their_generator_writes(wire_dir):
    done = subprocess.run(
        [sys.executable, wire_dir / "generate.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", FRAMES)
def test_a_golden_frame_is_read_whole(wire_dir, name):
    got = wire.decode(body(wire_dir, name))
    expected = as_json(wire_dir, name)
    assert isinstance(got, wire.Frame)
    assert bytes(got.frame_data) == base64.b64decode(expected["frame_data"])
    assert (got.format, got.width, got.height) == (expected["format"], expected["width"], expected["height"])
    meta = msgspec.to_builtins(got.meta)
    assert meta == {"roi_processing": None} | expected["meta"]


@pytest.mark.parametrize("name", FRAMES)
def test_the_picture_of_a_golden_frame_can_be_decoded(wire_dir, name):
    got = wire.decode(body(wire_dir, name))
    image = images.decode(got.frame_data, got.format, got.width, got.height)
    assert image.shape == (got.height, got.width, 3)


def test_a_golden_frame_in_shared_memory_is_read(wire_dir):
    got = wire.decode(body(wire_dir, "frame_shm"))
    assert got.shm == wire.Shared(slot=2, offset=4096, length=2764800)
    assert got.frame_data is msgspec.UNSET
    assert (got.format, got.width, got.height, got.meta.seq) == ("rgb", 1280, 720, 42)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"frame_data": b""}, "has both `frame_data` and `shm`"),
        ({"shm": {"slot": 0, "offset": 0}}, "missing required field `length` - at `$.shm`"),
        ({"shm": {"slot": -1, "offset": 0, "length": 1}}, "$.shm.slot"),
        ({"shm": None}, "$.shm"),
    ],
)
def test_a_frame_says_once_and_well_where_its_picture_is(wire_dir, changes, text):
    message = msgspec.msgpack.decode(body(wire_dir, "frame_shm")) | changes
    with pytest.raises(MessageError) as error:
        wire.decode(msgspec.msgpack.encode(message))
    assert text in str(error.value)
    assert (error.value.code, error.value.frame_seq) == ("bad_message", 42)


def test_the_golden_command_is_read(wire_dir):
    got = wire.decode(body(wire_dir, "command"))
    assert got == wire.Command("set_confidence", "c-17", {"confidence": 0.35})
    assert wire.decode_typed((wire_dir / "command.json").read_bytes()) == got


@pytest.mark.parametrize(("name", "structure"), WRITTEN.items())
def test_what_the_worker_writes_has_the_golden_fields_and_values(wire_dir, name, structure):
    expected = as_json(wire_dir, name)
    message = msgspec.convert(expected, structure)
    assert msgspec.msgpack.decode(wire.encode(message)) == expected
    assert msgspec.msgpack.decode(body(wire_dir, name)) == expected


@pytest.mark.parametrize(
    ("name", "text", "seq"),
    [
        ("missing_field", "frame: Object missing required field `seq` - at `$.meta`", None),
        ("frame_without_picture", "frame: Object missing required field `frame_data` or `shm`", 42),
        ("unknown_tag", "unknown type 'telemetry'", None),
        ("not_a_map", "Expected `object`, got `array`", None),
        ("result_person", "unknown type 'person_detection'", None),
    ],
)
def test_a_golden_message_that_is_wrong_is_refused_by_name(wire_dir, name, text, seq):
    with pytest.raises(MessageError) as error:
        wire.decode(body(wire_dir, name))
    assert text in str(error.value)
    assert (error.value.code, error.value.frame_seq) == ("bad_message", seq)


def test_the_generator_knows_every_golden_file(wire_dir):
    named = {path.stem for path in wire_dir.glob("*.msg")}
    refused = {"missing_field", "frame_without_picture", "result_missing_field", "unknown_tag", "not_a_map"}
    assert named == {*FRAMES, *WRITTEN, "frame_shm", "command", *refused}
    assert named == {path.stem for path in wire_dir.glob("*.json")}


@pytest.mark.parametrize("field", ["width", "height", "meta"])
def test_each_missing_field_of_a_frame_is_named(wire_dir, field):
    message = msgspec.msgpack.decode(body(wire_dir, "frame_jpeg"))
    del message[field]
    with pytest.raises(MessageError, match=f"frame: Object missing required field `{field}`") as error:
        wire.decode(msgspec.msgpack.encode(message))
    assert error.value.frame_seq == (None if field == "meta" else 42)


def test_unknown_fields_are_ignored(wire_dir):
    message = msgspec.msgpack.decode(body(wire_dir, "frame_roi"))
    message["colour_space"] = "bt709"
    message["meta"]["roi_processing"]["mood"] = {"calm": True}
    assert wire.decode(msgspec.msgpack.encode(message)).meta.seq == 42


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("target_size",), 416),
        (("source",), "guess"),
        (("merged_roi", "x"), "left"),
        (("attention_rois", 0, "width"), None),
    ],
)
def test_a_wrong_value_deep_inside_is_named_by_its_path(wire_dir, path, value):
    message = msgspec.msgpack.decode(body(wire_dir, "frame_roi"))
    at = message["meta"]["roi_processing"]
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(MessageError) as error:
        wire.decode(msgspec.msgpack.encode(message))
    assert str(path[0]) in str(error.value)


def test_framing_is_reversible(wire_dir):
    raw = (wire_dir / "ready.msg").read_bytes()
    assert frame(body(wire_dir, "ready")) == raw
