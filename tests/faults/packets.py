# SPDX-License-Identifier: MPL-2.0
"""What may happen to the packets of an RTSP connection over TCP (RFC 2326 §10.12)."""

import random
import re
from collections.abc import Callable, Iterator

from proxy import Edit

Packet = bytearray
Change = Callable[[Packet], list[Packet]]
"""What becomes of an RTP packet: none, one, or several."""

_HEADER = 12
"""Bytes before the payload of an RTP packet without extensions."""


def _pieces(held: bytearray) -> Iterator[tuple[int | None, bytes]]:
    """Whole messages, taken from the front: channel (None = text) and content."""
    while held:
        if held[0] == ord("$"):
            if len(held) < 4:
                return
            end = 4 + int.from_bytes(held[2:4], "big")
            if len(held) < end:
                return
            channel, content = held[1], bytes(held[4:end])
        else:
            head = held.find(b"\r\n\r\n")
            if head < 0:
                return
            length = re.search(rb"content-length: *(\d+)", held[:head], re.IGNORECASE)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(held) < end:
                return
            channel, content = None, bytes(held[:end])
        del held[:end]
        yield channel, content


def changed(make: Callable[[], Change]) -> Callable[[], Edit]:
    """An editor that changes RTP packets and leaves all else; it begins with a whole message."""

    def editor() -> Edit:
        held, change = bytearray(), make()

        def edit(data: bytes) -> bytes:
            held.extend(data)
            out = bytearray()
            for channel, content in _pieces(held):
                if channel is None:
                    out += content
                    continue
                # Even channels have RTP, odd ones RTCP.
                packets = change(bytearray(content)) if channel % 2 == 0 else [bytearray(content)]
                for packet in packets:
                    out += bytes((ord("$"), channel)) + len(packet).to_bytes(2, "big") + packet
            return bytes(out)

        return edit

    return editor


def corrupt(share: float) -> Callable[[], Change]:
    """Some packets with a few wrong bytes behind their header."""

    def make() -> Change:
        dice = random.Random(2)

        def change(packet: Packet) -> list[Packet]:
            if len(packet) > _HEADER + 4 and dice.random() < share:
                for _ in range(1 + len(packet) // 100):
                    packet[dice.randrange(_HEADER, len(packet))] ^= 1 << dice.randrange(8)
            return [packet]

        return change

    return make


def lose(share: float) -> Callable[[], Change]:
    """Some packets do not come."""

    def make() -> Change:
        dice = random.Random(3)
        return lambda packet: [] if dice.random() < share else [packet]

    return make


def swap(every: int) -> Callable[[], Change]:
    """Now and then a packet comes after the one that follows it."""

    def make() -> Change:
        count, kept = 0, []

        def change(packet: Packet) -> list[Packet]:
            nonlocal count
            count += 1
            if count % every == 0:
                kept.append(packet)
                return []
            out = [packet, *kept]
            kept.clear()
            return out

        return change

    return make


def jump(ticks: int) -> Callable[[], Change]:
    """Times of capture, in units of 1/90000 s, are other ones from now on."""

    def change(packet: Packet) -> list[Packet]:
        if len(packet) >= _HEADER:
            time = int.from_bytes(packet[4:8], "big") + ticks
            packet[4:8] = (time % (1 << 32)).to_bytes(4, "big")
        return [packet]

    return lambda: change


def noise() -> Edit:
    """Bytes that are no protocol at all, whatever comes."""
    dice = random.Random(4)
    return lambda data: dice.randbytes(len(data))
