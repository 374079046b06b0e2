# SPDX-License-Identifier: MPL-2.0
"""A worker that keeps the protocol, except for the rules that its first argument names.

Written from the protocol's page, with nothing of orion_worker: it is the other opinion on what the rules
are. It finds nothing but one box in every picture.
"""

import json
import mmap
import os
import select
import signal
import subprocess
import sys
import time

import msgspec

FAULTS = sys.argv[1].split(", ")
MAX_PIXELS = 8192 * 4320
LEAK = []
SHM = [int(part) for part in os.environ.get("ORION_SHM", "").split(":") if part]
MEMORY = mmap.mmap(SHM[0], SHM[1] * SHM[2], prot=mmap.PROT_READ) if SHM else b""


def say(message: dict) -> None:
    body = msgspec.msgpack.encode(message)
    data = len(body).to_bytes(4, "big") + body
    if "drops answers when the pipe is full" in FAULTS:
        os.set_blocking(1, False)
        try:
            os.write(1, data)
        except BlockingIOError:
            return
        return
    while data:
        data = data[os.write(1, data) :]


def take(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def is_jpeg(data: bytes) -> bool:
    at = data.find(b"\xff\xc0")
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9" or at < 0:
        return "calls half a JPEG a picture" in FAULTS and data[:2] == b"\xff\xd8" and len(data) > 300
    height, width = (int.from_bytes(data[at + skip : at + skip + 2], "big") for skip in (5, 7))
    if width * height > MAX_PIXELS and "runs out of memory for a huge JPEG" in FAULTS:
        os._exit(137)
    return width * height <= MAX_PIXELS


def raw_bytes(kind: str, width: int, height: int) -> int:
    if kind in ("rgb", "bgr"):
        return width * height * 3
    return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)


def is_picture(frame: dict) -> bool:
    kind, data, width, height = (frame[name] for name in ("format", "frame_data", "width", "height"))
    if kind == "jpeg":
        return is_jpeg(data)
    if "refuses odd sizes" in FAULTS and kind == "rgb" and (width % 2, height % 2) == (1, 1) and width > 1:
        return False
    if "calls nv12 bad" in FAULTS and kind == "nv12":
        return False
    right = len(data) == raw_bytes(kind, width, height) and width > 0 and height > 0
    return right or ("takes raw frames of any length" in FAULTS and width > 0 and height > 0)


def result(frame: dict) -> dict:
    width, height, meta = frame["width"], frame["height"], frame["meta"]
    box = {"x": 0, "y": 0, "width": width / 2, "height": height / 2}
    timing = dict.fromkeys(("preprocess_ms", "inference_ms", "postprocess_ms", "total_ms"), 0.001)
    message = {
        "type": "stub",
        "instance_id": meta["instance_id"],
        "room_id": meta["room_id"],
        "timestamp": meta["timestamp"],
        "frame_seq": meta["seq"],
        "data": {
            "detections": [{"bbox": box, "confidence": 0.5, "label": "corner", "label_id": 0}],
            "count": 1,
            "metadata": {},
        },
        "timing": timing,
        "suggested_roi": None,
    }
    if "puts boxes outside" in FAULTS:
        box["width"] = width + 1.0
    if "is infinitely sure" in FAULTS:
        message["data"]["detections"][0]["confidence"] = float("inf")
    if "miscounts" in FAULTS:
        message["data"]["count"] = 2
    if "cuts the nanoseconds" in FAULTS:
        message["timestamp"] = meta["timestamp"][:19] + "Z"
    if "takes sequence numbers for floats" in FAULTS:
        message["frame_seq"] = int(float(meta["seq"]))
    if "has a topic for a type" in FAULTS:
        message["type"] = "stub/results"
    if "changes its type" in FAULTS:
        message["type"] = f"stub_{width}"
    if "goes back in time" in FAULTS:
        timing["inference_ms"] = -1.0
    if "counts seconds twice" in FAULTS:
        timing["total_ms"] = 60_000.0
    if "garbles text" in FAULTS and os.environ.get("LC_ALL", "").startswith("tr_TR"):
        message["room_id"] = meta["room_id"].encode("ascii", "replace").decode()
    return message


def picture_there(slot: int, offset: int, length: int) -> bytes:
    if "believes every place" in FAULTS:
        return MEMORY[slot * SHM[2] + offset :][:length]
    if not (0 <= slot < SHM[1] and offset >= 0 and 0 <= length <= SHM[2] - offset):
        raise ValueError(f"no such place: {slot} {offset} {length}")
    if "looks at the first slot" in FAULTS:
        slot = 0
    return MEMORY[slot * SHM[2] + offset :][:length]


def answer_frame(frame: dict) -> None:
    if "shm" in frame:
        frame["frame_data"] = picture_there(**frame["shm"])
    if "knows its fields only" in FAULTS and "x_colour" in frame:
        raise ValueError("unknown field x_colour")
    if "refuses regions" in FAULTS and "roi_processing" in frame["meta"]:
        raise ValueError("no regions please")
    kind = frame.get("format", "jpeg")
    if ("takes raw only" in FAULTS and kind == "jpeg") or "takes nothing" in FAULTS:
        code, seq = "unsupported_format", frame["meta"]["seq"]
        say({"type": "error", "frame_seq": seq, "code": code, "message": f"no {kind} please"})
        return
    if not is_picture(frame):
        if "swallows bad frames" in FAULTS:
            return
        say(
            {"type": "error", "frame_seq": frame["meta"]["seq"], "code": "bad_frame", "message": "no picture"}
        )
        return
    if "leaks" in FAULTS:
        LEAK.append(b"x" * (1 << 20))
    elif "talks" in FAULTS:
        print("[INFO] a frame\n[INFO] is\n[INFO] answered", file=sys.stderr)
    say(result(frame))


def answer(body: bytes) -> None:
    message = {}
    try:
        message = msgspec.msgpack.decode(body)
        kind = message.get("type", "" if "needs a type" in FAULTS else "frame")
        if kind == "command":
            acknowledge(message["id"], message["command"])
        elif kind == "frame":
            answer_frame(message)
        else:
            raise ValueError(f"unknown type {kind}")
    except (ValueError, KeyError, AttributeError, TypeError, msgspec.MsgspecError) as error:
        if "dies of garbage" in FAULTS and "shm" not in message:
            raise
        say({"type": "error", "code": "bad_message", "message": repr(error)})


def acknowledge(number: str, name: str) -> None:
    known = name == "ping" or "says yes to everything" in FAULTS
    status, error = ("success", None) if known else ("error", f"unknown command {name}")
    say({"type": "ack", "id": number, "command": name, "status": status, "data": None, "error": error})


def read_message() -> bytes | None:
    """The next body, or None at the end; commands on the way are answered."""
    while True:
        first = take(1)
        if not first:
            return None
        if first in (b"{", b"\n", b"\r"):
            line = first
            while line[-1:] != b"\n":
                line += take(1)
            if line.strip() and "does not read lines" not in FAULTS:
                command = json.loads(line)
                acknowledge(command.get("id", ""), command["command"])
            continue
        header = first + take(3)
        length = int.from_bytes(header, "big")
        if length > 64 << 20 and "waits for 4 GiB" not in FAULTS:
            sys.exit(5)
        body = take(length)
        if len(body) < length:
            if "waits for the rest" in FAULTS:
                time.sleep(3600)
            sys.exit(5)
        return body


def loop() -> None:
    is_first = True
    while (body := read_message()) is not None:
        if "answers the newest first" in FAULTS and select.select([0], [], [], 0)[0]:
            newer = read_message()
            if newer is not None:
                answer(newer)
        if "stops at once" in FAULTS and is_first and is_over():
            sys.exit(0)
        is_first = False
        answer(body)


def is_over() -> bool:
    # Where more has come with the first frame the end may be near; on a busy machine it takes a while.
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if not poll.poll(100):
        return False
    # Only the end of input, whatever is left to read.
    poll.modify(0, 0)
    return bool(poll.poll(700))


def main() -> None:
    if "greets" in FAULTS:
        os.write(1, b"Loading model...\n")
    if "knows its arguments only" in FAULTS and len(sys.argv) > 2:
        sys.exit(f"unknown arguments {sys.argv[2:]}")
    if "needs a home" in FAULTS:
        os.environ["HOME"]
    if "ignores SIGTERM" in FAULTS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "leaves a child behind" in FAULTS:
        subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if "never gets ready" in FAULTS:
        time.sleep(3600)
    models = {"size": None, "file_640": None, "file_320": None, "sha256": {}}
    ready = {"type": "ready", "protocol": 1, "worker": "stub", "version": "1", "pid": os.getpid()}
    ready |= {"models": models, "load_ms": float("nan") if "cannot tell the time" in FAULTS else 0.0}
    if "speaks protocol 2" in FAULTS:
        ready["protocol"] = 2
    if SHM and "wants messages" not in FAULTS:
        ready["shm"] = True
    say(ready)
    loop()
    if "says goodbye" in FAULTS:
        os.write(1, b"Goodbye\n")
    if "fails at the end" in FAULTS:
        sys.exit(3)


main()
