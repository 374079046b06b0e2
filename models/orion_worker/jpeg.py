# SPDX-License-Identifier: MPL-2.0
"""Size of a JPEG picture from its header, without decoding it."""

# Start-of-frame markers of ITU-T T.81 table B.1: C0 to CF without C4 (DHT), C8 (JPG) and CC (DAC).
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM, RST0 to RST7 and a repeated SOI.
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def jpeg_size(data: bytes | memoryview) -> tuple[int, int]:
    """Width and height in pixels as the frame header declares them.

    Raises:
        ValueError: it is no JPEG, or the header is cut off, broken or of size 0.
    """
    if bytes(data[:2]) != b"\xff\xd8":
        raise ValueError("no JPEG: it does not start with ff d8")
    at = 2
    while True:
        # Between segments only fill bytes ff are legal, but decoders skip garbage there, so do the same.
        while at < len(data) and data[at] != 0xFF:
            at += 1
        while at < len(data) and data[at] == 0xFF:
            at += 1
        if at >= len(data):
            raise ValueError("JPEG ends before its frame header")
        marker = data[at]
        at += 1
        if marker in _STANDALONE or marker == 0x00:
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            raise ValueError("JPEG has no frame header before its data")
        if marker in _START_OF_FRAME:
            return _frame_header(data, at)
        at += max(2, int.from_bytes(data[at : at + 2], "big"))


def _frame_header(data: bytes | memoryview, at: int) -> tuple[int, int]:
    # Length (2 bytes), precision (1), height (2), width (2).
    if at + 7 > len(data):
        raise ValueError("JPEG ends inside its frame header")
    height = int.from_bytes(data[at + 3 : at + 5], "big")
    width = int.from_bytes(data[at + 5 : at + 7], "big")
    if width == 0 or height == 0:
        raise ValueError(f"JPEG frame header declares {width}x{height} px")
    return width, height
