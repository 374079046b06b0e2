# SPDX-License-Identifier: MPL-2.0
"""A worker of protocol 1 that sees one person in every frame, and misbehaves as a file tells it to.

`bad_worker.py ORDERS ...`: the word in the file ORDERS is read at the start and before each frame; no
file, or an empty one: it behaves. What else it is told on the command line is not its concern.
"""

import os
import signal
import struct
import sys
import time
from pathlib import Path

import msgspec

_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode
_out = sys.stdout.buffer


def order(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def send(message: dict) -> None:
    body = _encode(message)
    _out.write(struct.pack(">I", len(body)) + body)
    _out.flush()


def read() -> dict | None:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        return None
    return _decode(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))


def forever() -> None:
    while True:
        time.sleep(3600)


def result(frame: dict, box: dict | None = None, seq: int | None = None) -> dict:
    box = box or {"x": 10.0, "y": 10.0, "width": 50.0, "height": 100.0}
    meta = frame["meta"]
    found = {"bbox": box, "confidence": 0.9, "label": "person", "label_id": 0}
    return {
        "type": "person_detection",
        "instance_id": meta["instance_id"],
        "room_id": meta["room_id"],
        "timestamp": meta["timestamp"],
        "frame_seq": meta["seq"] if seq is None else seq,
        "data": {"detections": [found], "count": 1, "metadata": {}},
        "timing": {"preprocess_ms": 0.0, "inference_ms": 0.1, "postprocess_ms": 0.0, "total_ms": 0.1},
        "suggested_roi": None,
    }


class Worker:
    def __init__(self) -> None:
        self.leak: list[bytes] = []
        self.late: dict | None = None

    def answer(self, what: str, frame: dict) -> None:
        """The answer to one frame, or what is done instead."""
        seq = frame["meta"]["seq"]
        good = result(frame)
        if what == "hang":
            forever()
        elif what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif what == "leave":
            sys.exit(0)
        elif what == "garbage":
            _out.write(b"Traceback (most recent call last):\n")
            _out.flush()
            forever()
        elif what == "half":
            _out.write(struct.pack(">I", 1000) + b"\x81")
            _out.flush()
            sys.exit(1)
        elif what == "huge":
            _out.write(b"\xff\xff\xff\xff")
            _out.flush()
            forever()
        elif what == "other":
            send(result(frame, seq=seq + 1000))
        elif what == "twice":
            send(good)
            send(good)
        elif what == "late":
            # Every second one comes after the one that follows it.
            if self.late is None:
                self.late = good
                return
            send(good)
            send(self.late)
            self.late = None
        elif what == "slow":
            time.sleep(0.4)
            send(good)
        elif what == "lie":
            send(result(frame, {"x": float("nan"), "y": -1e9, "width": float("inf"), "height": -5.0}))
        elif what == "outside":
            send(result(frame, {"x": 1e6, "y": 1e6, "width": 1e6, "height": 1e6}))
        elif what == "fail":
            send(
                {
                    "type": "error",
                    "frame_seq": seq,
                    "code": "inference_failed",
                    "message": "as it was told to",
                }
            )
        elif what == "shout":
            for number in range(2000):
                print(f"[WARNING] line {number} of a worker that says too much", file=sys.stderr)
            send(good)
        elif what == "leak":
            self.leak.append(b"x" * (20 << 20))
            send(good)
        else:
            send(good)


def main() -> int:
    orders = Path(sys.argv[1])
    if (first := order(orders)) == "refuse":
        print("[ERROR] no model in /nowhere; put one there", file=sys.stderr)
        return 3
    if first == "silent":
        forever()
    ready = {"type": "ready", "protocol": 1, "worker": "bad_worker", "version": "0", "pid": os.getpid()}
    models = {"size": "n", "file_640": "none.onnx", "file_320": None, "sha256": {}}
    send({**ready, "models": models, "load_ms": 1.0})
    worker = Worker()
    while True:
        if order(orders) == "deaf":
            forever()
        message = read()
        if message is None:
            return 0
        if message.get("type") == "command":
            send({"type": "ack", "id": message["id"], "command": message["command"], "status": "success"})
            continue
        worker.answer(order(orders), message)


if __name__ == "__main__":
    sys.exit(main())
