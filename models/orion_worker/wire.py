# SPDX-License-Identifier: MPL-2.0
"""Messages of worker protocol 1 as typed structures, and their MessagePack bodies."""

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType, field

from orion_worker.errors import MessageError
from orion_worker.version import PROTOCOL

Unsigned = Annotated[int, Meta(ge=0)]
Pixels = Annotated[int, Meta(ge=0, le=65535)]
Format = Literal["jpeg", "rgb", "bgr", "i420", "nv12"]


class Rect(Struct, frozen=True):
    """A rectangle: top-left corner and size, in 0..1 of the frame or in pixels."""

    x: float
    y: float
    width: float
    height: float


class RoiProcessing(Struct, frozen=True):
    """Where the host wants the worker to look; rectangles are in 0..1 of the frame."""

    target_size: Literal[320, 640]
    crop_applied: bool
    source: Literal["external", "python_suggested", "auto_history", ""]
    attention_rois: list[Rect]
    merged_roi: Rect | None = None


class FrameMeta(Struct, frozen=True):
    """Whose frame it is; `timestamp` is the moment of capture (RFC 3339, nanoseconds, UTC)."""

    instance_id: str
    room_id: str
    seq: Unsigned
    timestamp: str
    roi_processing: RoiProcessing | None = None


class Shared(Struct, frozen=True):
    """Where a picture lies in shared memory: the slot, and in it the first byte and how many."""

    slot: Unsigned
    offset: Unsigned
    length: Unsigned


class Frame(Struct, frozen=True, tag="frame"):
    """One picture. `width` and `height` are pixels; 0 by 0 is allowed for JPEG only.

    The picture is `frame_data` or lies in `shm`: `decode` sees to it that one of them is there.
    """

    width: Pixels
    height: Pixels
    meta: FrameMeta
    format: Format = "jpeg"
    frame_data: memoryview | UnsetType = UNSET
    shm: Shared | UnsetType = UNSET


class Command(Struct, frozen=True, tag="command"):
    """A request that is answered by an `Ack` with the same `id`."""

    command: str
    id: str = ""
    params: dict[str, Any] = field(default_factory=dict)


class Models(Struct, frozen=True):
    """The model files in use: names without a folder, and the SHA-256 of each in hex."""

    size: str | None
    file_640: str | None
    file_320: str | None
    sha256: dict[str, str]


class Ready(Struct, frozen=True, tag="ready"):
    """Sent once, when frames may come: models are loaded and warmed up.

    `shm`: pictures may lie in the memory that the host has offered. `threads`: with how many it computes.
    `max_batch`: how many frames of different cameras are run at once, if they wait for it; `batch_wait_ms`:
    how long for so many.
    """

    worker: str
    version: str
    pid: int
    models: Models
    load_ms: float
    protocol: int = PROTOCOL
    shm: bool | UnsetType = UNSET
    threads: int | UnsetType = UNSET
    max_batch: int | UnsetType = UNSET
    batch_wait_ms: float | UnsetType = UNSET


class Detection(Struct, frozen=True):
    """One box in pixels of the whole frame with its confidence in 0..1."""

    bbox: Rect
    confidence: float
    label: str
    label_id: int


class ResultData(Struct, frozen=True):
    """Detections, most confident first, and how they were made."""

    detections: list[Detection]
    count: int
    metadata: dict[str, Any]


class Timing(Struct, frozen=True):
    """Milliseconds spent on a frame; the total also covers what lies between the stages.

    Time in which a frame waits for its turn, while the one before is inferred, is none of these. `batch`:
    so many frames were inferred in one run, which took `inference_ms`; left out for one alone.
    """

    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float
    total_ms: float
    batch: int | UnsetType = UNSET


class Result(Struct, frozen=True):
    """The answer to a frame; `type` is the detector's own, e.g. `person_detection`."""

    type: str
    instance_id: str
    room_id: str
    timestamp: str
    frame_seq: int
    data: ResultData
    timing: Timing
    suggested_roi: Rect | None


class Ack(Struct, frozen=True, tag="ack"):
    """The answer to a command."""

    id: str
    command: str
    status: Literal["success", "error"]
    data: dict[str, Any] | None = None
    error: str | None = None


class ErrorMessage(Struct, frozen=True, tag="error", omit_defaults=True):
    """The answer to a message that brought no result; `frame_seq` is absent when unknown."""

    code: str
    message: str
    frame_seq: int | None = None


Outgoing = Ready | Result | Ack | ErrorMessage


class _Envelope(Struct):
    type: str = "frame"


class _SeqOnlyMeta(Struct):
    seq: Unsigned


class _SeqOnly(Struct):
    meta: _SeqOnlyMeta


_envelope = msgspec.msgpack.Decoder(_Envelope)
_seq_only = msgspec.msgpack.Decoder(_SeqOnly)
_frame = msgspec.msgpack.Decoder(Frame)
_command = msgspec.msgpack.Decoder(Command)
_typed_command = msgspec.json.Decoder(Command)


def _plain(value: Any) -> Any:
    # What a detector of one's own computes and puts into `metadata` or `describe`.
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in a message")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_line_encoder = msgspec.json.Encoder(enc_hook=_plain)


def encode(message: Outgoing) -> bytes:
    """The MessagePack body of an outgoing message; NumPy's numbers and arrays are written as plain ones.

    Raises:
        TypeError: a value of a detector's own has no form in a message.
        ValueError: nor has a number of more than 64 bits, nor nesting without end.
    """
    return _encoder.encode(message)


def encode_line(message: Outgoing) -> bytes:
    """An outgoing message as one line of JSON, for a person at a terminal; errors as `encode`."""
    return _line_encoder.encode(message) + b"\n"


def decode(body: bytes | bytearray) -> Frame | Command:
    """Read the MessagePack body of a message from the host.

    The frame's bytes stay a view of `body`. A message without `type` is a frame.

    Raises:
        MessageError: `bad_message`; the text names the field or the type that is wrong.
    """
    kind = "message"
    try:
        kind = _envelope.decode(body).type
        if kind == "frame":
            return _complete(_frame.decode(body))
        if kind == "command":
            return _command.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError("bad_message", f"{kind}: {error}", _seq_of(body)) from error
    raise MessageError("bad_message", f"unknown type {kind[:64]!r}: expected frame or command", _seq_of(body))


def decode_typed(line: bytes | bytearray) -> Command:
    """Read a command that a person typed as one line of JSON; `type` may be left out.

    Raises:
        MessageError: `bad_message`; the text names the field that is wrong.
    """
    try:
        return _typed_command.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        example = 'expected one like {"command": "ping"}'
        raise MessageError("bad_message", f"JSON command: {error}; {example}") from error


def _complete(frame: Frame) -> Frame:
    given = (frame.frame_data is not UNSET) + (frame.shm is not UNSET)
    if given == 1:
        return frame
    problem = "has both `frame_data` and `shm`" if given else "missing required field `frame_data` or `shm`"
    raise MessageError("bad_message", f"frame: Object {problem}", frame.meta.seq)


def _seq_of(body: bytes | bytearray) -> int | None:
    """The frame number of a message that is otherwise refused, so that the host can match the answer."""
    try:
        return _seq_only.decode(body).meta.seq
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
