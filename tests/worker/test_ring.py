# SPDX-License-Identifier: MPL-2.0
"""Pictures in shared memory: seen without a copy, never written, and nothing outside a slot is looked at."""

import gc
import mmap
import os
import sys

import numpy as np
import pytest
from worker_process import WorkerProcess, frame_message

from orion_worker import wire
from orion_worker.conformance.checks_shared import SLOT_SIZE, SLOTS, Memory
from orion_worker.errors import MessageError
from orion_worker.ring import VARIABLE, Ring

IMAGE = np.arange(64 * 48 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 64, 3)


@pytest.fixture
def memory():
    memory = Memory()
    yield memory
    memory.close()


@pytest.fixture
def ring(memory):
    return Ring(memory.descriptor, SLOTS, SLOT_SIZE)


def fill(memory, slot, offset, data):
    with mmap.mmap(memory.descriptor, SLOTS * SLOT_SIZE) as mapped:
        start = slot * SLOT_SIZE + offset
        mapped[start : start + len(data)] = data


def shared(slot, offset=0, image=IMAGE, seq=1, **changes):
    message = frame_message(image, seq, **changes)
    data = message.pop("frame_data")
    return message | {"shm": {"slot": slot, "offset": offset, "length": len(data)}}, data


def test_a_picture_is_a_view_that_cannot_be_written(memory, ring):
    fill(memory, 1, 10, b"picture")
    view, _ = ring.view(wire.Shared(1, 10, 7), 1)
    assert (bytes(view), view.readonly) == (b"picture", True)
    image = np.frombuffer(view, np.uint8)
    fill(memory, 1, 10, b"changed")
    assert bytes(view) == b"changed" and bytes(image) == b"changed"
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 1


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ((SLOTS, 0, 1), f"shm.slot is {SLOTS}, but there are {SLOTS} slots"),
        ((2**63, 0, 1), "shm.slot is 9223372036854775808"),
        ((0, SLOT_SIZE, 1), f"shm.offset {SLOT_SIZE} and length 1 reach beyond {SLOT_SIZE} bytes"),
        ((0, 1, SLOT_SIZE), "reach beyond"),
        ((SLOTS - 1, 2**64 - 1, 2**64 - 1), "reach beyond"),
    ],
)
def test_a_place_outside_is_refused_by_name(ring, place, text):
    with pytest.raises(MessageError) as error:
        ring.view(wire.Shared(*place), 7)
    assert text in str(error.value)
    assert (error.value.code, error.value.frame_seq) == ("bad_message", 7)
    view, _ = ring.view(wire.Shared(SLOTS - 1, SLOT_SIZE, 0), 7)
    assert bytes(view) == b""


def test_who_keeps_an_image_gets_copies_from_then_on(memory, ring, caplog):
    fill(memory, 0, 0, b"first!")
    view, lease = ring.view(wire.Shared(0, 0, 6), 5)
    kept = np.frombuffer(view, np.uint8).reshape(2, 3)[:1]
    del view
    ring.give_back(lease)
    assert "keeps the image of frame 5" in caplog.text
    view, lease = ring.view(wire.Shared(0, 0, 6), 6)
    copied = np.frombuffer(view, np.uint8)
    fill(memory, 0, 0, b"second")
    assert bytes(copied) == b"first!" and bytes(kept) == b"sec"
    ring.give_back(lease)
    assert len(caplog.records) == 1


def test_who_lets_go_goes_on_without_copies(memory, ring, caplog):
    for seq in range(3):
        view, lease = ring.view(wire.Shared(0, 0, 6), seq)
        total = np.frombuffer(view, np.uint8).sum()
        del view
        ring.give_back(lease)
        assert total == 0
    view, _ = ring.view(wire.Shared(0, 0, 6), 3)
    fill(memory, 0, 0, b"second")
    assert bytes(view) == b"second" and caplog.text == ""


def test_an_offer_is_taken_once_and_its_descriptor_closed(memory):
    descriptor = os.dup(memory.descriptor)
    environment = {VARIABLE: f"{descriptor}:{SLOTS}:{SLOT_SIZE}", "HOME": "/"}
    ring = Ring.claim(environment)
    assert ring is not None and environment == {"HOME": "/"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    assert Ring.claim(environment) is None
    before = len(os.listdir("/proc/self/fd"))
    del ring
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


OFFERS = ["", "x", "3:3", "1:2:3:4", "999999:3:4096", "-1:3:4096", "2:0:4096", "9" * 99]


@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_that_is_none_is_said_and_not_fatal(offer, caplog):
    assert Ring.claim({VARIABLE: offer}) is None
    assert "no shared memory" in caplog.text


def test_memory_that_could_be_made_smaller_is_not_used(caplog):
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, 4096)
        assert Ring.claim({VARIABLE: f"{descriptor}:1:4096"}) is None
        assert "not sealed" in caplog.text
        assert Ring.claim({VARIABLE: f"{descriptor}:1:8192"}) is None
        assert "1 slots of 8192 bytes, but 4096 in all" in caplog.text
    finally:
        os.close(descriptor)


def test_a_worker_sees_the_same_there_and_says_how_often(start, memory):
    with_memory = {VARIABLE: f"{memory.descriptor}:{SLOTS}:{SLOT_SIZE}"}
    worker = start("--detector", "motion", descriptors=[memory.descriptor], **with_memory)
    assert worker.ready()["shm"] is True
    for seq, slot in enumerate((0, 1, 2, 0)):
        message, data = shared(slot, 4096 * seq, seq=seq)
        fill(memory, slot, 4096 * seq, data)
        answer = worker.ask(message)
        assert (answer["type"], answer["frame_seq"]) == ("motion_detection", seq)
        assert answer["data"]["metadata"]["frame_width"] == 64
    assert worker.ask(frame_message(IMAGE, 4))["frame_seq"] == 4
    message, _ = shared(SLOTS, seq=5)
    refused = worker.ask(message)
    assert (refused["type"], refused["code"], refused["frame_seq"]) == ("error", "bad_message", 5)
    assert "shm.slot" in refused["message"]
    message, _ = shared(0, seq=6, width=65)
    refused = worker.ask(message)
    assert (refused["code"], refused["frame_seq"]) == ("bad_frame", 6)
    told = worker.ask({"type": "command", "id": "1", "command": "describe"})["data"]["frames"]
    assert told == {"received": 6, "results": 5, "errors": 1, "shm": 4}
    assert worker.finish() == 0


def test_a_worker_without_an_offer_refuses_and_works_on(start):
    worker = start("--detector", "motion")
    assert "shm" not in worker.ready()
    message, _ = shared(0, seq=3)
    refused = worker.ask(message)
    assert (refused["code"], refused["frame_seq"]) == ("bad_message", 3)
    assert "no shared memory" in refused["message"]
    assert worker.ask(frame_message(IMAGE, 4))["frame_seq"] == 4
    assert worker.finish() == 0


KEEPER = """
import sys, orion_worker
class Keeper:
    def load(self): self.last = None
    def infer(self, image, attention):
        moved = self.last is not None and bool((image != self.last).any())
        self.last = image
        return [orion_worker.Detection(0, 0, 8, 8, 1.0, "moved")] if moved else []
sys.exit(orion_worker.run(Keeper()))
"""


def test_a_detector_that_compares_with_the_frame_before_is_not_misled(start, memory, tmp_path):
    script = tmp_path / "keeper.py"
    script.write_text(KEEPER)
    program = (sys.executable, script)
    offer = {VARIABLE: f"{memory.descriptor}:{SLOTS}:{SLOT_SIZE}"}
    worker: WorkerProcess = start(program=program, descriptors=[memory.descriptor], **offer)
    worker.ready()
    counts = []
    for seq in range(8):
        # A slot is not written again before its frame is answered, and is the one that was free for longest.
        message, data = shared(seq % SLOTS, seq=seq, image=IMAGE + seq // 2)
        fill(memory, seq % SLOTS, 0, data)
        counts.append(worker.ask(message)["data"]["count"])
    assert counts == [0, 0, 1, 0, 1, 0, 1, 0]
    assert "keeps the image of frame 0" in worker.stderr()
    assert worker.finish() == 0
