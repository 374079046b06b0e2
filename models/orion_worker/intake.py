# SPDX-License-Identifier: MPL-2.0
"""What is done with a message before its turn comes: decoding, and a detector's preparation."""

import time
from dataclasses import dataclass
from typing import Any

from orion_worker import images, wire
from orion_worker.adapter import Adapter
from orion_worker.detector import Attention, Picture
from orion_worker.errors import MessageError
from orion_worker.framing import Message
from orion_worker.jpeg import jpeg_size
from orion_worker.log import log
from orion_worker.results import attention_of
from orion_worker.ring import Lease, Ring


@dataclass(frozen=True, slots=True)
class Task:
    """A frame ready for inference; of the message only what the answer needs is kept.

    `size` is width and height of the picture in px, the times are those spent on this frame so far,
    and `lease` is there for one whose picture lies in shared memory.
    """

    meta: wire.FrameMeta
    size: tuple[int, int]
    prepared: Any
    decode_ms: float
    prepare_ms: float
    lease: Lease | None = None


Request = Task | wire.Command | MessageError
"""What the loop answers, in order; an error is the answer already."""


def take_in(message: Message, detector: Adapter, ring: Ring | None) -> Request:
    """Decode a message and prepare its frame; runs on the reader's thread.

    A fault of the message or of the detector is returned, not raised: it is the answer to this
    message, and its turn comes after the answers before it.
    """
    try:
        request = wire.decode_typed(message.body) if message.typed else wire.decode(message.body)
        return request if isinstance(request, wire.Command) else _task(request, detector, ring)
    except MessageError as error:
        return error


def failed(seq: int, error: Exception) -> MessageError:
    """A detector's fault as the answer to the frame that it costs."""
    if isinstance(error, MessageError):
        return MessageError(error.code, str(error), seq)
    log.debug("frame %d", seq, exc_info=error)
    return MessageError("inference_failed", f"{type(error).__name__}: {error}", seq)


def _task(frame: wire.Frame, detector: Adapter, ring: Ring | None) -> Task:
    start = time.perf_counter()
    seq = frame.meta.seq
    data, lease = _picture(frame, ring)
    attention = attention_of(frame)
    try:
        reduction, size = _reduction(frame, data, detector, attention)
        image = images.decode(data, frame.format, frame.width, frame.height, reduction)
    except ValueError as error:
        raise MessageError("bad_frame", str(error), seq) from error
    decoded = time.perf_counter()
    picture = Picture(image, size or (image.shape[1], image.shape[0]), reduction)
    prepared = _prepared(detector, picture, attention, seq)
    end = time.perf_counter()
    return Task(frame.meta, picture.size, prepared, 1e3 * (decoded - start), 1e3 * (end - decoded), lease)


def _picture(frame: wire.Frame, ring: Ring | None) -> tuple[memoryview, Lease | None]:
    if isinstance(frame.frame_data, memoryview):
        return frame.frame_data, None
    seq = frame.meta.seq
    if ring is None or not isinstance(frame.shm, wire.Shared):
        raise MessageError("bad_message", "frame: has `shm`, but there is no shared memory", seq)
    return ring.view(frame.shm, seq)


def _reduction(
    frame: wire.Frame, data: memoryview, detector: Adapter, attention: Attention
) -> tuple[int, tuple[int, int] | None]:
    # The size that a JPEG's header declares is needed only where less may be decoded.
    if frame.format != "jpeg" or detector.reducible is None:
        return 1, None
    size = jpeg_size(data)
    try:
        return detector.reducible.reduction(size, attention), size
    except Exception as error:
        raise failed(frame.meta.seq, error) from error


def _prepared(detector: Adapter, picture: Picture, attention: Attention, seq: int) -> Any:
    try:
        return detector.prepare(picture, attention)
    except Exception as error:
        raise failed(seq, error) from error
