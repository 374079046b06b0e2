# SPDX-License-Identifier: MPL-2.0
"""Results as a consumer wants them: the fields of `inference.schema.json` that it keeps, checked."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

# What PostgreSQL can hold in a bigint.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Box(msgspec.Struct):
    """Pixels of the whole frame."""

    x: float
    y: float
    width: float
    height: float


class Detection(msgspec.Struct):
    """One thing seen."""

    bbox: Box
    confidence: float
    label: str


class Data(msgspec.Struct):
    """What was seen on a frame."""

    detections: list[Detection]
    count: Count


class Result(msgspec.Struct):
    """What was seen on one frame, and what was lost before it."""

    type: str
    instance_id: str
    room_id: str
    timestamp: datetime
    frame_seq: Count
    data: Data
    latency_ms: float
    lost_since_last: dict[str, Count]
    replayed: bool = False

    def row(self) -> tuple[Any, ...]:
        """In the order of the table's columns."""
        return (
            self.timestamp,
            self.instance_id,
            self.type,
            self.frame_seq,
            self.room_id,
            self.data.count,
            msgspec.json.encode(self.data.detections).decode(),
            self.latency_ms,
            msgspec.json.encode(self.lost_since_last).decode(),
            self.replayed,
        )


_decoder = msgspec.json.Decoder(Result)


def read(payload: bytes) -> Result:
    """A result from its JSON.

    Raises:
        ValueError: It is no result; names the field.
    """
    result = _decoder.decode(payload)
    if result.timestamp.tzinfo is None:
        raise ValueError("timestamp: without a time zone")
    return result
