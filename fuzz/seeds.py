# SPDX-License-Identifier: MPL-2.0
# ruff: noqa: E501  (inputs are one line each)
"""Writes what each target begins with (`corpus/TARGET/seed_*`), made of the messages in tests/fixtures and of texts here.

What a run finds is kept beside it under the name of the mistake.
"""

import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WIRE = ROOT / "tests" / "fixtures" / "wire"

WORKER = ("ready", "ready_motion", "ready_shm", "result_person", "result_empty", "result_motion", "ack_success",
          "ack_error", "error_with_seq", "error_without_seq", "result_missing_field")  # fmt: skip
HOST = (
    "frame_jpeg",
    "frame_raw_rgb",
    "frame_roi",
    "frame_shm",
    "frame_without_type",
    "command",
    "missing_field",
)

RECT = {"x": 0.25, "y": 0.125, "width": 0.5, "height": 0.625}
COMMANDS = [
    {"command": "get_status", "id": "a"},
    {"command": "set_inference_rate", "params": {"rate_hz": 2.5}, "id": 7, "dry_run": True},
    {"command": "set_attention_rois", "params": {"rois": [RECT, {"x": 0, "y": 0, "width": 1, "height": 1}]}},
    {
        "command": "set_auto_focus_strategy",
        "params": {"strategy": "velocity", "velocity_factor": 2, "alpha": 0.1},
    },
    {
        "command": "update_config",
        "params": {"config": {"stream": {"fps": 5}, "room_id": None}},
        "if_revision": 3,
    },
    {"command": "restart_worker", "params": {"worker": "infer"}},
    {"command": "add_camera", "params": {"camera": {"instance_id": "b"}}},
    {"command": "set_model_size", "params": {"size": "z"}},
]
ROIS = ["", " []", json.dumps([RECT]), '[{"x":0,"y":0,"width":1,"height":1},{"x":5e-1,"y":0.5,"width":0.5,"height":0.5}]',
        '[{"x":0.5,"y":0,"width":0.6,"height":1}]', '[{"x":0.999999,"y":0,"width":1e-7,"height":1}]']  # fmt: skip
TOPICS = ["care/inferences/{instance_id}/{type}\nward-1\n12\nperson_detection\nperson", "{room_id}/{label}\na\nb/c\nd\n#+",
          "care/{instance_id\na\nb\nc\nd", "a//b\n\n\n\n", "{label}"]  # fmt: skip
CONFIGURATIONS = [
    (
        'instance_id: a\nstream: {fps: 12.5, resolution: 480p}\nmqtt:\nhttp: {bind: ""}\n',
        "ORION_ROOM_ID=007\nORION_STREAM__FPS=7",
        {"stream": {"fps": None}, "room_id": "x"},
    ),
    (
        "camera:\n  rtsp_url: rtsp://me:secret@cam:554/x?y#z\nrois:\n  attention: [{x: 0, y: 0.5, width: 0.25, height: 0.5}]\n"
        "  auto_focus: {enabled: true, strategy: velocity}\n",
        "",
        {
            "camera": {"rtsp_url": "rtsp://b/"},
            "models": {"fall": {"worker_command": "python3 fall.py --token 'a b'"}},
        },
    ),
    (
        "cameras:\n  - instance_id: a\n    camera: {rtsp_url: 'rtsps://[::1]/x'}\n  - &b {instance_id: b, room_id: 2}\n  - *b\n",
        "",
        {"cameras": [{"instance_id": "c"}]},
    ),
    (
        "models:\n  person_detector: {size: s, confidence: 0.25, labels: [person, cat], workers: 2}\n"
        "  fall: {worker_command: fall, labels: []}\nmqtt: {uri: 'mqtt://me@broker:1884', prefix: a/b, qos: 2}\n",
        "ORION_ROIS__ATTENTION=[]\nX=1",
        {"mqtt": {"uri": "mqtts://broker", "tls": {"insecure": True}}, "log": None},
    ),
    ('pipeline: |\n  # one\n  fakesrc name=${X} ! "a # b" ${Y:-z} \\${\n', "X=1", {"pipeline": "a ! b"}),
    ("camera:\n  rtsp_ulr: x\nstream: {fps: 0}\nrooom_id: x\n- a\n", "ORION_STREAM__FSP=1\nORION_MQTT=1", []),
]


def write(target: str, inputs: list[bytes]) -> None:
    """One file for each input."""
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("seed_*"):
        old.unlink()
    for number, data in enumerate(inputs):
        (folder / f"seed_{number:02}").write_bytes(data)


def message(name: str) -> bytes:
    """A message with its length."""
    return (WIRE / f"{name}.msg").read_bytes()


def main() -> int:
    """Write all."""
    write("worker_message", [message(name)[4:] for name in WORKER])
    write("host_message", [message(name)[4:] for name in HOST])
    streams = [
        message("command") + message("ack_error"),
        message("error_with_seq") + b"\0\0",
        b"\0\0\0\0" * 3,
    ]
    write(
        "framing",
        [
            bytes([cut]) + stream
            for cut, stream in zip((3, 5, 1, 9), [*streams, b"Loading model"], strict=True)
        ],
    )
    write("command", [json.dumps(command).encode() for command in COMMANDS])
    write("rois", [text.encode() for text in ROIS])
    write("topic", [text.encode() for text in TOPICS])
    # Mode and value of each number, see src/input.rs.
    rect = b"\x01\x40\x00\x01\x20\x00\x01\x40\x00\x01\x60\x00"
    settings = b"\x01\x40\x00\x01\x10\x00\x01\x01\x00\x01\x40\x00\x01\x20\x00\x1e\x01\x19\x00\x01\x19\x00\x05\x00\x02\xd0"
    step = rect + b"\x01\x01\x01\x00\x00\x64"
    write("attention", [bytes([strategy]) + settings + step * 4 for strategy in range(3)])
    box = b"\x00\x10\x00\x00\x10\x00\x00\x20\x00\x00\x30\x00\xf0\x00"
    result = b"\x02\x01\x00\x64\x00\x64\x01" + box + b"\x00\x00\xff\xff\x01\x01"
    many = b"\x02\x01\x00\x64\x00\x64\x03" + box * 3 + b"\x20\x20\x80\x80\x01\x00"
    write("profiles", [result * 6, many * 3, b"\x01" + struct.pack(">HH", 64, 48) + result[1:] * 2])
    write(
        "configuration",
        [
            "\n%%%\n".join((file, variables, json.dumps(patch))).encode()
            for file, variables, patch in CONFIGURATIONS
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
