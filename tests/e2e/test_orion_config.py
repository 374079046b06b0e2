# SPDX-License-Identifier: MPL-2.0
"""orion-config for scripts: what it changes is in force, its exit codes, and that it always ends."""

import functools
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import daemon as daemons
import paho.mqtt.publish as publish
import pytest
from client import PROGRAM, call, done, environment, told
from daemon import Daemon
from running import Program, workers
from test_cameras import MOTION, addressed, seen

Config = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def node(plugin_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with daemons.alone(plugin_env, tmp_path_factory.mktemp("node"), MOTION) as running:
        yield running


@pytest.fixture
def config(node: Daemon) -> Config:
    return lambda *words, **more: call("--broker", node.broker.uri, *words, **more)


def test_what_was_asked_for_is_in_force_when_it_ends(node, config):
    def person() -> dict[str, Any]:
        return node.state()["config"]["models"]["person_detector"]

    def rois() -> dict[str, Any]:
        return node.state()["config"]["rois"]

    # Who is named need not be looked for.
    config = functools.partial(config, "--id", "node_001")
    out = done(config("set-rate", 8))
    assert re.fullmatch(r"node_001: 8 Hz, in force from frame \d+ on \(\d+\.\d\d s\)\n", out), out
    assert node.state()["inference_rate_hz"] == 8
    done(config("set-roi", "0.1,0.2,0.5,0.5", "0,0,0.25,1"))
    assert rois()["attention"][0] == {"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.5}
    done(config("clear-roi"))
    assert rois()["attention"] == []
    done(config("auto-focus", "smoothing", "--alpha", 0.5))
    focus = rois()["auto_focus"]
    assert (focus["enabled"], focus["strategy"], focus["alpha"]) == (True, "smoothing", 0.5)
    for word, on in (("off", False), ("on", True)):
        done(config("auto-focus", word))
        assert rois()["auto_focus"]["enabled"] is on
    done(config("update-config", "room_id=007", "stream.fps=15"))
    state = node.state()["config"]
    assert (state["room_id"], state["stream"]["fps"]) == ("007", 15)
    assert "would be carried out" in done(config("pause", "--dry-run"))
    assert node.state()["paused"] is False
    done(config("pause"))
    assert node.state()["paused"] is True
    assert told(config("pause"), 1) == "orion-config: node_001: already paused\n"
    done(config("resume"))
    assert node.state()["paused"] is False
    done(config("set-model", "s"))
    assert person()["size"] == "s"

    def only_worker() -> list[int]:
        """Those that were replaced finish what they have in hand."""
        return node.wait_until("one worker", lambda: len(left := workers(node.program.pid)) == 1 and left)

    before = only_worker()
    done(config("restart-worker"))
    assert only_worker() != before
    raw = json.loads(done(config("raw", "-", stdin='{"command": "get_attention_rois", "id": "mine"}')))
    assert (raw["id"], raw["data"]) == ("mine", {"rois": []})


def test_questions_are_answered(node, config):
    status = done(config("status"))
    for expected in ("node_001: ", "  stream    streaming", "  worker    infer: pid ", "(connected)"):
        assert expected in status
    answer = json.loads(done(config("status", "--json", ORION_ID="node_001")))
    assert (answer["instance_id"], answer["status"]) == ("node_001", "success")
    assert answer["data"]["state"]["instance_id"] == "node_001"
    assert "node_001  streaming" in done(config("cameras"))
    listed = done(config("list")).splitlines()
    assert listed[0].startswith("ID ") and listed[1].split()[:2] == ["node_001", "online"]
    entry = json.loads(done(config("list", "--json")))
    assert entry["presence"]["instance_id"] == entry["state"]["instance_id"] == "node_001"


def test_refusals_and_mistakes_have_their_codes(node, config):
    with node.unchanged():
        assert "known are infer" in told(config("restart-worker", "nope"), 1)
        assert "the revision is" in told(config("set-rate", 3, "--if-revision", 9999), 1)
        refused = config("--json", "update-config", "nonsense=1")
        assert refused.returncode == 1 and json.loads(refused.stdout)["status"] == "error"
        for words, expected in (
            (["set-rate", "31"], "expected 0.1..30 Hz"),
            (["set-rate", "-1"], "expected 0.1..30 Hz"),
            (["set-model", "huge"], "expected orion, n, s, m, l or x"),
            (["set-roi", "0,0,2,1"], "x + width must be at most 1"),
            (["set-roi"], "X,Y,W,H"),
            (["raw", "{"], "not JSON"),
            (["update-config", "a"], "expected KEY=VALUE"),
            (["update-config", "camera.rtsp_url=rtsp://u:secret@h"], "does not belong on a command line"),
            (["--broker", "mqtt://u:secret@h", "status"], "must not hold a password"),
            (["--password-file", "/nowhere", "status"], "/nowhere"),
            (["--timeout", "0", "status"], "expected 0.1..3600 seconds"),
            (["--id", "a/b", "status"], "expected letters"),
            (["jump"], "unrecognized subcommand"),
            ([], "without a terminal a command is needed"),
        ):
            error = told(config(*words) if "--broker" not in words else call(*words), 2)
            assert expected in error and "secret" not in error, error


def test_an_instance_that_is_not_there_is_told_at_once(node, config):
    def keep(topic: str, payload: str) -> None:
        publish.single(topic, payload, qos=1, retain=True, hostname="127.0.0.1", port=node.broker.port)

    for status in ("offline", "stopped"):
        keep(f"care/status/was-{status}", status)
        begun = time.monotonic()
        error = told(config("--timeout", 30, "--id", f"was-{status}", "pause"), 3)
        assert f"was-{status} is {status}" in error and time.monotonic() - begun < 10
    assert 'no instance "ghost"' in told(config("--id", "ghost", "status"), 3)
    # One that is said to be there and is not: on topics that nobody listens to.
    other = ("--prefix", "elsewhere", "--timeout", 0.6)
    assert "no instance is online" in told(config(*other, "pause"), 3)
    keep("elsewhere/status/phantom", "online")
    assert "phantom: no answer within 0.6 s" in told(config(*other, "pause"), 3)
    late = config(*other, "--json", "pause")
    assert (late.returncode, json.loads(late.stdout)["status"]) == (3, "no_answer")
    assert "no result within 0.6 s" in told(config(*other, "watch", "--count", 1), 3)


def test_results_can_be_watched_and_piped(node, config):
    one = json.loads(done(config("watch", "--json", "--count", 1)))
    assert one["instance_id"] == "node_001"
    assert re.match(
        r"\d\d:\d\d:\d\d\.\d{3}  node_001  motion_detection  #\d+  ", done(config("watch", "--count", 1))
    )
    pipe = f"{PROGRAM} --broker {node.broker.uri} watch --json | head -1; echo ${{PIPESTATUS[0]}}"
    piped = subprocess.run(
        ["bash", "-c", pipe], capture_output=True, text=True, timeout=30, env=environment()
    )
    first, code = piped.stdout.splitlines()
    assert json.loads(first)["type"] == "motion_detection" and (code, piped.stderr) == ("0", "")
    # A reader that goes while nothing comes.
    done(config("pause"))
    argv = [str(PROGRAM), "--broker", node.broker.uri, "watch", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment()) as watching:
        watching.stdout.close()
        assert watching.wait(10) == 0
    done(config("resume"))
    watching = Program(argv, environment())
    watching.wait_for_line("motion_detection")
    watching.signal(signal.SIGINT)
    assert watching.wait(5) == -signal.SIGINT
    watching.kill()


def test_of_several_one_has_to_be_named_or_all(node, config, run, tmp_path):
    cameras = [{"instance_id": name} for name in ("w1", "w2")]
    fleet = {"instance_id": "ward", "cameras": cameras, **MOTION}
    ward = Daemon(run, node.broker, node.listener, tmp_path, fleet)
    for camera in ("w1", "w2"):
        seen(ward, camera)
    assert "say --id with one of: node_001, w1, w2" in told(config("pause"), 2)
    done(config("pause", "--id", "w1"))
    partly = config("pause", "--id", "all", "--json")
    answers = {
        answer["instance_id"]: answer["status"] for answer in map(json.loads, partly.stdout.splitlines())
    }
    assert (partly.returncode, answers) == (1, {"node_001": "success", "w1": "error", "w2": "success"})
    assert partly.stderr == "orion-config: w1: already paused\n"
    assert len(done(config("resume", "--id", "all")).splitlines()) == 3
    for name in ("node_001", "w1", "w2"):
        with addressed(ward, name):
            assert ward.state()["paused"] is False
    # The daemon itself takes cameras, and nothing that is for one of them.
    assert "w1      streaming" in done(config("cameras", "--id", "ward"))
    done(config("cameras", "--id", "ward", "add", "w3", "room_id=3"))
    seen(ward, "w3")
    assert "cameras: w1, w2, w3" in done(config("list"))
    done(config("cameras", "--id", "ward", "remove", "w3"))
    assert "is for a camera" in told(config("--id", "ward", "set-rate", 2), 1)
    assert done(config("watch", "--id", "ward", "--count", 3)).count("\n") == 3
    below = ward.below() + node.below()
    stopped = done(config("shutdown", "--id", "all"))
    assert [line.split(" (")[0] for line in stopped.splitlines()] == [
        f"{name}: stops" for name in ("node_001", "w1", "w2")
    ]
    for stopping in (ward, node):
        assert stopping.program.wait(10) == 0
        stopping.leaves_nothing(below)
    assert "known are node_001 (stopped), w1 (stopped)" in told(config("status"), 3)
