# SPDX-License-Identifier: MPL-2.0
"""Writes what each target begins with (`corpus/TARGET/seed_*`), made of the messages in tests/fixtures."""

import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WIRE = HERE.parents[1] / "tests" / "fixtures" / "wire"
sys.path.insert(0, str(WIRE))

from generate import TINY_JPEG  # noqa: E402  (it needs the path above)

NAMES = ("frame_jpeg", "frame_raw_rgb", "frame_roi", "frame_shm", "frame_without_type", "command",
         "missing_field", "unknown_tag", "not_a_map")  # fmt: skip


def write(target: str, inputs: list[bytes]) -> None:
    """One file for each input."""
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("seed_*"):
        old.unlink()
    for number, data in enumerate(inputs):
        (folder / f"seed_{number:02}").write_bytes(data)


def header(kind: int, width: int, height: int, shared: int = 0) -> bytes:
    """See `bodies.picture`."""
    return struct.pack(">BHHHHHHB", kind, width, height, 0x4000, 0, 0x4000, 0xFFFF, shared)


def resized(width: int, height: int) -> bytes:
    """The small JPEG, with other sides in its header."""
    at = TINY_JPEG.index(b"\xff\xc0") + 5
    return TINY_JPEG[:at] + struct.pack(">HH", height, width) + TINY_JPEG[at + 4 :]


def main() -> int:
    """Write all."""
    messages = [(WIRE / f"{name}.msg").read_bytes() for name in NAMES]
    write("message", [message[4:] for message in messages])
    line = b'{"command": "ping", "id": "7"}\n'
    write(
        "stream", [messages[0] + messages[5], b"\n " + line + messages[2], messages[5] + b"\0\0", b"\xff" * 5]
    )
    jpegs = [TINY_JPEG, TINY_JPEG[:-20], resized(60000, 60000), resized(1, 1), b"\xff\xd8" + b"\xff" * 9]
    write("jpeg", [bytes([number % 4]) + jpeg for number, jpeg in enumerate(jpegs)])
    yuv = bytes(range(24)) * 2
    write(
        "picture",
        [
            header(0, 16, 12) + TINY_JPEG,
            header(5, 0, 0) + TINY_JPEG,
            header(1, 4, 2) + yuv[:24],
            header(3, 3, 3) + yuv[:17],
            header(4, 4, 4) + yuv[:24],
            header(2, 4, 2, 255) + struct.pack(">HHH", 1, 4000, 24),
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
