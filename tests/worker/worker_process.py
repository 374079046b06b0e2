# SPDX-License-Identifier: MPL-2.0
"""A worker process under test; it frames and decodes by itself and every wait has an end."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

MODELS = Path(__file__).resolve().parents[2] / "models"
PATIENCE_S = 60.0


def frame_message(image: np.ndarray, seq: int = 1, **changes: Any) -> dict[str, Any]:
    """A raw BGR frame message; `changes` replace fields, `roi_processing` goes into `meta`."""
    roi = changes.pop("roi_processing", None)
    meta = {
        "instance_id": "cam",
        "room_id": "room",
        "seq": seq,
        "timestamp": "2025-01-01T00:00:00.000000001Z",
    }
    message = {
        "type": "frame",
        "frame_data": np.ascontiguousarray(image).tobytes(),
        "format": "bgr",
        "width": image.shape[1],
        "height": image.shape[0],
        "meta": meta if roi is None else meta | {"roi_processing": roi},
    }
    return message | changes


def jpeg_message(data: bytes, seq: int = 1, **changes: Any) -> dict[str, Any]:
    """A JPEG frame message of unknown size."""
    blank = np.zeros((0, 0, 3), np.uint8)
    return frame_message(blank, seq, frame_data=data, format="jpeg", **changes)


def roi(x: float, y: float, width: float, height: float, target_size: int = 640) -> dict[str, Any]:
    """A `roi_processing` that asks for one region."""
    region = {"x": x, "y": y, "width": width, "height": height}
    return {
        "target_size": target_size,
        "crop_applied": False,
        "source": "external",
        "attention_rois": [region],
        "merged_roi": region,
    }


def jpeg(image: np.ndarray) -> bytes:
    """An image as JPEG."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


class WorkerProcess:
    """`person_detector.py` or another program, with pipes."""

    def __init__(
        self,
        *arguments: object,
        program: tuple[object, ...] | None = None,
        descriptors: Sequence[int] = (),
        **env: str,
    ):
        program = program or (sys.executable, MODELS / "person_detector.py")
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill)
        # The machine may set a model directory; a test that wants one names it.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ORION_")}
        self.process = subprocess.Popen(
            [str(part) for part in (*program, *arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            pass_fds=tuple(descriptors),
            env=clean | {"PYTHONPATH": str(MODELS), "ORION_MODEL_CACHE": "off"} | env,
        )
        self._pending = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, message: Any) -> None:
        """Frame and send a message."""
        self.send_body(msgspec.msgpack.encode(message))

    def send_body(self, body: bytes) -> None:
        self.send_bytes(len(body).to_bytes(4, "big") + body)

    def send_bytes(self, data: bytes) -> None:
        stream = self.process.stdin.fileno()
        os.set_blocking(stream, False)
        rest, deadline = memoryview(data), time.monotonic() + PATIENCE_S
        while rest:
            _, writable, _ = select.select([], [stream], [], max(0.0, deadline - time.monotonic()))
            assert writable, f"the worker takes no input; stderr: {self.stderr()}"
            rest = rest[os.write(stream, rest) :]

    def receive(self) -> dict[str, Any]:
        """The next message, decoded."""
        length = int.from_bytes(self._read(4), "big")
        return msgspec.msgpack.decode(self._read(length))

    def ask(self, message: Any) -> dict[str, Any]:
        """Send a message and return the answer."""
        self.send(message)
        return self.receive()

    def ready(self) -> dict[str, Any]:
        """The first message, which has to be `ready`."""
        message = self.receive()
        assert message["type"] == "ready", message
        return message

    def finish(self) -> int:
        """Close the input, read what is left (nothing is expected) and return the exit status."""
        self.close_input()
        rest = self._pending + self.read_to_end()
        assert rest == b"", f"unexpected output {rest[:200]!r}"
        return self.wait()

    def close_input(self) -> None:
        self.process.stdin.close()

    def read_to_end(self) -> bytes:
        data = b""
        while chunk := self._chunk():
            data += chunk
        return data

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout, self._stderr):
            stream.close()

    def stderr(self) -> str:
        return os.pread(self._stderr.fileno(), 1 << 20, 0).decode()

    def cpu_seconds(self) -> float:
        """User and system time of the process so far (fields 14 and 15 of proc/pid/stat)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self, name: str) -> int:
        """A size from /proc/pid/status, e.g. `VmRSS` (now) or `VmHWM` (the most so far)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name} of process {self.pid}")

    def _read(self, size: int) -> bytes:
        while len(self._pending) < size:
            chunk = self._chunk()
            assert chunk, f"the worker's output ended; stderr: {self.stderr()}"
            self._pending += chunk
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def _chunk(self) -> bytes:
        stream = self.process.stdout.fileno()
        readable, _, _ = select.select([stream], [], [], PATIENCE_S)
        assert readable, f"the worker is silent; stderr: {self.stderr()}"
        return os.read(stream, 1 << 16)
