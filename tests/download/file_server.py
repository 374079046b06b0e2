# SPDX-License-Identifier: MPL-2.0
"""A web server on a free port of this machine that misbehaves on demand."""

import contextlib
import hashlib
import http.server
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

PATIENCE = 30


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    body_bytes: int = 0


@dataclass
class FileServer:
    """Serves `files`; `faults` holds one entry for each GET to come, after them all goes well.

    Faults: a number (that HTTP status), "no range", "page" (HTML with 200), "plain" (no validator and no
    length), ("cut", n) closes after n body bytes, ("reset", n) resets, ("hold", n) waits for `release`,
    ("drip", n) goes on byte by byte.
    """

    files: dict[str, bytes]
    faults: list = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def gets(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET"]


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(fault=None)

    def do_GET(self) -> None:
        faults = self.owner.faults
        self._answer(faults.pop(0) if faults else None)

    def _answer(self, fault: object) -> None:
        request = Request(self.command, self.path, self.headers["Range"], self.headers["If-Range"])
        self.owner.requests.append(request)
        content = self.owner.files.get(self.path.lstrip("/"))
        if content is None:
            fault = 404
        if isinstance(fault, int):
            return self._send(request, fault, b"<html>no</html>", {"Content-Type": "text/html"})
        if fault == "page":
            return self._send(request, 200, b"<!DOCTYPE html><html>log in first</html>", {})
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        if fault == "plain":
            return self._send(request, 200, content, {"Content-Length": None})
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", request.range or "")
        if wanted and fault != "no range" and request.if_range in (None, tag):
            start = int(wanted[1])
        headers = {"ETag": tag}
        if start >= len(content):
            return self._send(request, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(request, 206 if start else 200, content[start:], headers, fault)

    def _send(self, request: Request, status: int, body: bytes, headers: dict, fault: object = None) -> None:
        request.status = status
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        if request.method == "HEAD":
            return
        kind, count = fault if isinstance(fault, tuple) else ("", len(body))
        try:
            self.wfile.write(body[:count])
            request.body_bytes = len(body[:count])
            if kind == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
            elif kind == "hold":
                self.owner.held.set()
                self._until_released_or_gone()
                self.wfile.write(body[count:])
                request.body_bytes = len(body)
            elif kind == "drip":
                for byte in body[count:]:
                    if self.owner.release.wait(0.1):
                        break
                    self.wfile.write(bytes([byte]))
                    request.body_bytes += 1
        except OSError:
            self.owner.gone.set()

    def _until_released_or_gone(self) -> None:
        self.connection.settimeout(0.02)
        for _ in range(PATIENCE * 50):
            if self.owner.release.is_set():
                break
            with contextlib.suppress(TimeoutError):
                if not self.connection.recv(1):
                    raise ConnectionResetError
        self.connection.settimeout(PATIENCE)


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[FileServer]:
    """The server, for the length of a `with` block."""
    owner = FileServer(files)

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            owner.gone.set()

    handler = type("Handler", (_Handler,), {"owner": owner})
    with Quiet(("127.0.0.1", 0), handler) as server:
        owner.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield owner
        finally:
            owner.release.set()
            server.shutdown()
            thread.join()
