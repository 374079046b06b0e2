# SPDX-License-Identifier: MPL-2.0
"""Who gets the live page and who does not, request by request; no browser is needed."""

import contextlib
import http.client
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from daemon import Daemon, merged

MOTION = {"models": {"person_detector": {"detector": "motion", "max_inference_rate_hz": 10}}}


def port(daemon: Daemon) -> int:
    return int(daemon.program.wait_for_line(r"state: http://\S+:(\d+)/readiness").group(1))


def ask(
    port: int, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """The answer to a request: code, content, headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        headers = {"content-type": "application/json", **headers}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.headers.get_content_type() == "application/json":
        content = json.loads(content)
    return answer.status, content, {name.lower(): value for name, value in answer.headers.items()}


@contextlib.contextmanager
def watching(port: int, **headers: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """A viewer: kind and content of what it is told."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/api/live", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()

    def told() -> Iterator[tuple[str, Any]]:
        kind = ""
        for line in answer:
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                kind = text.removeprefix("event: ")
            elif text.startswith("data: "):
                yield kind, json.loads(text.removeprefix("data: "))

    yield told()
    connection.close()


def first(told: Iterator[tuple[str, Any]], wanted: str) -> Any:
    return next(what for kind, what in told if kind == wanted)


def test_other_sites_get_nothing(start: Callable[..., Daemon]):
    daemon = start(**merged(MOTION, {"http": {"bind": "127.0.0.1:0"}}))
    at = port(daemon)
    code, _, headers = ask(at, "GET", "/")
    assert code == 200 and headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control")]
    assert ask(at, "GET", "/", host="rebound.example")[0] == 403
    assert ask(at, "GET", "/health", host="rebound.example")[0] == 200, "that is as it was"
    pause, path = {"command": "pause_inference"}, "/api/cameras/node_001/commands"
    for headers in (
        {"origin": "https://evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"host": "rebound.example"},
        {"content_type": "text/plain"},
    ):
        code, answer, _ = ask(at, "POST", path, pause, **headers)
        assert code in (403, 415) and answer["error"], headers
    assert daemon.state()["paused"] is False
    code, answer, _ = ask(at, "POST", path, pause, origin=f"http://127.0.0.1:{at}")
    assert code == 200 and answer["status"] == "success" and daemon.state()["paused"] is True

    for body, code, text in (
        ({"command": "pause_inference"}, 200, "already paused"),
        ({"command": "set_inference_rate", "params": {"rate_hz": 99}}, 200, "rate_hz"),
        ({"command": "shutdown"}, 403, "publish it over MQTT"),
        ({"command": "update_config", "params": {"config": {}}}, 403, "publish it over MQTT"),
        ({"command": "dance"}, 200, "dance"),
        ([], 200, "expected an object"),
    ):
        got, answer, _ = ask(at, "POST", path, body)
        assert got == code and text in answer["error"], (body, answer)
    assert ask(at, "POST", "/api/cameras/nobody/commands", pause)[0] == 404
    assert ask(at, "GET", path)[0] == 405
    assert ask(at, "GET", "/page/../Cargo.toml")[0] == 404
    assert "live page at /" in ask(at, "GET", "/nowhere")[1]["error"]


def test_pictures_are_kept_only_while_somebody_watches(start: Callable[..., Daemon]):
    daemon = start(**merged(MOTION, {"http": {"bind": "127.0.0.1:0"}}))
    at = port(daemon)
    frame = daemon.wait_for_results(2)[-1]["frame_seq"]
    assert ask(at, "GET", f"/api/cameras/node_001/frames/{frame}.jpg")[0] == 404
    with watching(at) as told:
        assert first(told, "hello")["pictures"] is True
        state = first(told, "state")["cameras"][0]
        assert state["state"]["instance_id"] == "node_001" and state["in_force"]["paused"] is False
        result = first(told, "result")
        code, picture, headers = ask(at, "GET", f"/api/cameras/node_001/frames/{result['seq']}.jpg")
        assert code == 200 and headers["content-type"] == "image/jpeg" and picture[:2] == b"\xff\xd8"
        published = daemon.wait_for_result("the same", lambda one: one["frame_seq"] == result["seq"])
        assert len(published["data"]["detections"]) == len(result["detections"])
        assert result["stages"]["queue_ms"] == published["stages"]["queue_ms"]
    # The end is noticed with the next message.
    gone = f"/api/cameras/node_001/frames/{result['seq']}.jpg"
    daemon.wait_until("the end of the pictures", lambda: ask(at, "GET", gone)[0] == 404)
    newest = daemon.wait_for_results(2)[-1]["frame_seq"]
    assert ask(at, "GET", f"/api/cameras/node_001/frames/{newest}.jpg")[0] == 404


def test_there_are_not_too_many_viewers_and_the_stop_waits_for_none(start: Callable[..., Daemon]):
    daemon = start(**merged(MOTION, {"http": {"bind": "127.0.0.1:0"}}))
    at = port(daemon)
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(watching(at)) for _ in range(16)]
        code, answer, _ = ask(at, "GET", "/api/live")
        assert code == 503 and "16 pages" in answer["error"]
        daemon.stop(signal.SIGTERM, 5)
        assert "bye" in [kind for kind, _ in viewers[0]], "who watches is told"


def test_beyond_loopback_the_page_wants_a_token(start: Callable[..., Daemon], monkeypatch):
    everywhere = merged(MOTION, {"http": {"bind": "0.0.0.0:0"}})
    daemon = start(**everywhere)
    at = port(daemon)
    daemon.program.wait_for_line(r"live page is not served on 0\.0\.0\.0:\d+: that needs a token")
    for method, path in (
        ("GET", "/"),
        ("GET", "/api/live"),
        ("POST", "/api/login"),
        ("GET", "/page/main.js"),
    ):
        code, answer, _ = ask(at, method, path)
        assert code == 403 and "http.page.token_file" in answer["error"], (path, answer)
    assert ask(at, "GET", "/health")[0] == 200
    daemon.stop()

    monkeypatch.setenv("ORION_PAGE_TOKEN", "a token with 0123456789".replace(" ", "-"))
    daemon = start(**everywhere)
    at = port(daemon)
    assert ask(at, "GET", "/", host="orion.example")[0] == 200
    session = ask(at, "GET", "/api/session")[1]
    assert session["token_needed"] is True and session["admitted"] is False
    for path in ("/api/live", "/api/cameras/node_001/frames/1.jpg"):
        assert ask(at, "GET", path)[0] == 401
    assert ask(at, "POST", "/api/cameras/node_001/commands", {"command": "pause_inference"})[0] == 401
    code, _, headers = ask(at, "POST", "/api/login", {"token": "a-token-with-0123456789"})
    assert code == 204
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "token" not in cookie
    admitted = {"cookie": cookie.partition(";")[0]}
    command = ask(at, "POST", "/api/cameras/node_001/commands", {"command": "get_status"}, **admitted)
    assert command[0] == 200 and command[1]["status"] == "success"
    with watching(at, **admitted) as told:
        first(told, "hello")
        assert ask(at, "POST", "/api/logout", {}, **admitted)[0] == 204
        until = time.monotonic() + 10
        for kind, _ in told:
            assert time.monotonic() < until, f"{kind}: it goes on after the session"
    assert ask(at, "GET", "/api/live", **admitted)[0] == 401

    for _ in range(5):
        assert ask(at, "POST", "/api/login", {"token": "wrong"})[0] == 401
    code, answer, headers = ask(at, "POST", "/api/login", {"token": "a-token-with-0123456789"})
    assert code == 429 and int(headers["retry-after"]) <= 31, answer
    assert "a-token-with" not in daemon.program.output


def test_visitors_who_say_nothing_leave_room_for_the_workers(start: Callable[..., Daemon]):
    daemon = start(**merged(MOTION, {"http": {"bind": "127.0.0.1:0"}}))
    at = port(daemon)
    open_files = lambda: len(list(Path(f"/proc/{daemon.program.pid}/fd").iterdir()))  # noqa: E731
    before = open_files()
    with contextlib.ExitStack() as silent:
        for _ in range(250):
            visitor = silent.enter_context(socket.create_connection(("127.0.0.1", at)))
            visitor.sendall(b"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        # Results go on for as long as all of them may take to come in.
        daemon.wait_for_results(20)
        assert 100 < open_files() - before < 150
    assert ask(at, "GET", "/livez")[0] == 200
    daemon.stop()


def test_the_page_may_be_off(start: Callable[..., Daemon]):
    daemon = start(**merged(MOTION, {"http": {"bind": "127.0.0.1:0", "page": {"enabled": False}}}))
    at = port(daemon)
    assert ask(at, "GET", "/")[0] == 404 and ask(at, "GET", "/api/live")[0] == 404
    assert "live page" not in daemon.program.output


def test_each_of_several_cameras_is_shown_and_commanded_for_itself(start: Callable[..., Daemon]):
    cameras = [{"instance_id": name, "presence": {"enabled": name == "a"}} for name in ("a", "b")]
    daemon = start(**merged(MOTION, {"http": {"bind": "127.0.0.1:0"}, "cameras": cameras}))
    at = port(daemon)
    pause = {"command": "pause_inference", "id": "not-ours"}
    with watching(at) as told:
        seen: dict[str, int] = {}
        while set(seen) != {"a", "b"}:
            result = first(told, "result")
            seen[result["camera"]] = result["seq"]
        for name, number in seen.items():
            assert ask(at, "GET", f"/api/cameras/{name}/frames/{number}.jpg")[0] in (200, 404)
        code, answer, _ = ask(at, "POST", "/api/cameras/a/commands", pause)
        assert code == 200 and answer["status"] == "success" and answer["id"].startswith("page-")
        assert first(told, "said") == {"camera": "a", "said": answer}
        paused = {}
        while paused != {"a": True, "b": False}:
            for camera in first(told, "state")["cameras"]:
                paused[camera["state"]["instance_id"]] = camera["in_force"]["paused"]
        assert first(told, "presence")["said"]["instance_id"] == "a", "of b nothing is said"
    # The daemon's own name is that of no camera.
    assert ask(at, "POST", "/api/cameras/node_001/commands", pause)[0] == 404
