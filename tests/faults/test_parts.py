# SPDX-License-Identifier: MPL-2.0
"""What the faults are made of: packets that are changed, connections that break, and the page."""

import socket

import packets
import paper
import pytest
import sheet
from measure import Outcome
from proxy import Proxy

TEXT = b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nv=0"


def packet(channel: int, number: int) -> bytes:
    body = bytes([128, 96, 0, number]) + (1000).to_bytes(4, "big") + bytes(12)
    return bytes([ord("$"), channel]) + len(body).to_bytes(2, "big") + body


def edited(make, data: bytes, step: int) -> bytes:
    edit = packets.changed(make)()
    return b"".join(edit(data[at : at + step]) for at in range(0, len(data), step))


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_packets_are_changed_and_all_else_passes(step):
    data = TEXT + packet(0, 1) + packet(1, 2) + packet(0, 3) + packet(0, 4)
    assert edited(lambda: lambda one: [one], data, step) == data
    assert edited(packets.lose(1.0), data, step) == TEXT + packet(1, 2)
    swapped = TEXT + packet(0, 1) + packet(1, 2) + packet(0, 4) + packet(0, 3)
    assert edited(packets.swap(2), data, step) == swapped
    later = edited(packets.jump(500), packet(0, 1), step)
    assert later[8:12] == (1500).to_bytes(4, "big") and later[:8] == packet(0, 1)[:8]
    wrong = edited(packets.corrupt(1.0), data, step)
    assert len(wrong) == len(data) and wrong != data and wrong.startswith(TEXT)
    assert wrong.count(packet(1, 2)) == 1, "only pictures are"


@pytest.fixture
def line():
    """A proxy before a socket that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        proxy = Proxy(server.getsockname()[1])
        yield proxy, server
        proxy.close()


def connected(proxy: Proxy, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(("127.0.0.1", proxy.port), 5)
    far, _ = server.accept()
    far.settimeout(5)
    # Then the proxy has both ends in hand.
    near.sendall(b"!")
    assert far.recv(9) == b"!"
    return near, far


def is_silent(end: socket.socket) -> bool:
    end.settimeout(0.2)
    try:
        return not end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(5)


def test_a_parted_connection_says_nothing_until_it_is_healed(line):
    proxy, server = line
    near, far = connected(proxy, server)
    with near, far:
        near.sendall(b"a")
        assert far.recv(9) == b"a"
        proxy.part(up=True, down=False)
        near.sendall(b"b")
        assert is_silent(far)
        far.sendall(b"c")
        assert near.recv(9) == b"c"
        proxy.heal()
        assert far.recv(9) == b"b"


def test_connections_end_in_the_way_that_is_wanted(line):
    proxy, server = line
    near, far = connected(proxy, server)
    with near, far:
        proxy.cut()
        assert near.recv(9) == b"" == far.recv(9)
    near, far = connected(proxy, server)
    with near, far:
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            near.recv(9)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), 5)
    proxy.accept()
    proxy.mute = True
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as near:
        near.sendall(b"hello?")
        assert is_silent(near)


def test_the_page_keeps_what_others_have_written(tmp_path):
    file = tmp_path / "page.md"
    good = Outcome(
        "x dies", "camera", "killed", 0.5, "lost at 127.0.0.1:4711", 1.0, 2.0, 3.0, {"queue_full": 2}, True
    )
    worse = Outcome("x dies", "camera", "killed", 1.5, "lost", 1.0, 2.0, 3.0, {"queue_full": 1})
    sheet.put(file, "faults", paper.page([[good]]))
    file.write_text(file.read_text().replace("<!-- soak -->\n", "<!-- soak -->\n1 h, no slope\n"))
    sheet.put(file, "faults", paper.page([[good], [worse]]))
    text = file.read_text()
    assert "| x dies | killed | lost at 127.0.0.1 | 1.5 | 1.0 | 2.0 | 3.0 | queue_full 2 |" in text
    assert text.count("x dies") == 1 and "1 h, no slope" in text and "2 of 2 passed" in text
    worse.problems.append("a zombie")
    sheet.put(file, "faults", paper.page([[good], [worse]]))
    assert "**failed 1 of 2**" in file.read_text()
