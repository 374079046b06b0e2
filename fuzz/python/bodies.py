# SPDX-License-Identifier: MPL-2.0
"""What is asked of the Python worker for any input; `make test` asks it for the files in `corpus`."""

import fcntl
import io
import os
import struct

import msgspec

from orion_worker import images, wire
from orion_worker.adapter import Adapter
from orion_worker.commands import acknowledge
from orion_worker.detector import Attention, Detection, Image, Picture
from orion_worker.errors import MessageError, StreamError
from orion_worker.framing import MAX_LINE, MAX_MESSAGE, Message, frame, read_message
from orion_worker.geometry import pixel_region
from orion_worker.intake import Task, take_in
from orion_worker.jpeg import jpeg_size
from orion_worker.results import result_message
from orion_worker.ring import Ring

META = {"instance_id": "a", "room_id": "b", "seq": 1, "timestamp": "t"}
FORMATS = ("jpeg", "rgb", "bgr", "i420", "nv12")
SLOTS, SLOT_SIZE = 2, 4096

# Larger pictures only cost the fuzzer's time.
LARGEST = 512 * 512


class Everything:
    """A detector that finds one thing: all that it was asked to look at."""

    def reduction(self, size: tuple[int, int], attention: Attention) -> int:
        """As little as a network of that side wants."""
        return images.reduction_for(size, (attention.target_size // 16, attention.target_size // 16))

    def prepare(self, image: Image, attention: Attention) -> object:
        """The worker calls `prepare_picture`."""
        return self.prepare_picture(Picture(image, (image.shape[1], image.shape[0])), attention)

    def prepare_picture(self, picture: Picture, attention: Attention) -> object:
        """The region asked for lies in the picture."""
        width, height = picture.size
        factor = picture.reduction
        assert picture.image.shape == (images.reduced(height, factor), images.reduced(width, factor), 3)
        if attention.region is None:
            return (0, 0, width, height)
        region = pixel_region(attention.region, width, height)
        assert 0 <= region.x < region.x + region.width <= width, region
        assert 0 <= region.y < region.y + region.height <= height, region
        return (region.x, region.y, region.width, region.height)

    def finish(self, prepared: object) -> list[Detection]:
        """One detection."""
        assert isinstance(prepared, tuple)
        return [Detection(*prepared, confidence=0.5, label="all")]


_detector = Adapter(Everything())


def _ring() -> Ring:
    descriptor = os.memfd_create("fuzz", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, SLOTS * SLOT_SIZE)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    ring = Ring(descriptor, SLOTS, SLOT_SIZE)
    os.close(descriptor)
    return ring


_shared = _ring()


def stream(data: bytes) -> None:
    """All that the host sends, up to the end or to what cannot be followed."""
    source = io.BytesIO(data)
    while True:
        at = source.tell()
        try:
            message = read_message(source)
        except StreamError as error:
            assert error.code in ("message_too_long", "truncated_message") and str(error), error
            return
        if message is None:
            assert source.tell() == len(data)
            return
        assert source.tell() > at, "each message takes some of the stream"
        if message.typed:
            assert len(message.body) <= MAX_LINE + 1
        else:
            assert data[: source.tell()].endswith(frame(message.body))
        _answered(message)


def message(data: bytes) -> None:
    """The body of one message."""
    _answered(Message(data))


def picture(data: bytes) -> None:
    """A format, sides, a region, and the bytes of a picture: whatever they are, there is one answer."""
    if len(data) < 14:
        return
    kind, width, height, x, y, w, h, shared = struct.unpack(">BHHHHHHB", data[:14])
    rest = data[14:]
    encoding = FORMATS[kind % len(FORMATS)]
    if width * height > LARGEST and encoding != "jpeg":
        return
    region = {"x": x / 65535, "y": y / 65535, "width": w / 65535, "height": h / 65535}
    asked = {"target_size": 320, "crop_applied": False, "source": "external", "attention_rois": [region],
             "merged_roi": region}  # fmt: skip
    meta = META | ({"roi_processing": asked} if kind % 2 else {})
    body: dict[str, object] = {
        "type": "frame",
        "format": encoding,
        "width": width,
        "height": height,
        "meta": meta,
    }
    if shared == 255:
        place = struct.unpack(">HHH", rest[:6].ljust(6, b"\0"))
        body["shm"] = dict(zip(("slot", "offset", "length"), place, strict=True))
    else:
        body["frame_data"] = rest
    _answered(Message(msgspec.msgpack.encode(body)), seq=1)


def jpeg(data: bytes) -> None:
    """A reduction, then a JPEG."""
    if not data:
        return
    reduction, file = images.REDUCTIONS[data[0] % 4], data[1:]
    try:
        declared = jpeg_size(file)
    except ValueError as error:
        assert str(error), file
        declared = (0, 0)
    # Refused by size before it is decoded, or too large for a quick run.
    allowed = declared[0] * declared[1] <= images.MAX_PIXELS
    if allowed and declared[0] * declared[1] > LARGEST:
        return
    try:
        image = images.decode(file, "jpeg", 0, 0, reduction)
    except ValueError as error:
        assert str(error), file
        return
    assert allowed and declared != (0, 0), declared
    width, height = (images.reduced(side, reduction) for side in declared)
    assert image.shape == (height, width, 3), (image.shape, declared, reduction)


def _answered(given: Message, seq: int | None = None) -> None:
    request = take_in(given, _detector, _shared)
    if isinstance(request, MessageError):
        assert request.code in ("bad_message", "bad_frame"), (request.code, request)
        assert str(request)
        assert seq is None or request.frame_seq == seq, request.frame_seq
        answer: wire.Outgoing = wire.ErrorMessage(request.code, str(request), request.frame_seq)
    elif isinstance(request, wire.Command):
        answer = acknowledge(request, _detector, {"answered": 1})
        assert answer.id == request.id
    else:
        answer = _result(request)
    body = wire.encode(answer)
    assert len(body) <= MAX_MESSAGE
    wire.encode_line(answer)


def _result(task: Task) -> wire.Result:
    if task.lease is not None:
        _shared.give_back(task.lease)
    result = result_message(
        _detector.result_type, task.meta, task.size, _detector.finish(task.prepared), 0.1, 0.2
    )
    (found,) = result.data.detections
    box, (width, height) = found.bbox, task.size
    assert box.x >= 0 and box.y >= 0 and box.width > 0 and box.height > 0, box
    assert box.x + box.width <= width and box.y + box.height <= height, (box, task.size)
    assert result.frame_seq == task.meta.seq
    return result


TARGETS = {"stream": stream, "message": message, "picture": picture, "jpeg": jpeg}
