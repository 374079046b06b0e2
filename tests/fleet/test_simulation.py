# SPDX-License-Identifier: MPL-2.0
"""A small fleet on a real broker: it speaks the contract, and its figures are true."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import paho.mqtt.publish as publish
import pytest
import simulate
from client import call, done, environment, told
from mqtt import Listener, kept
from readme import command
from running import BUILT, wait_for
from simulation import commands, moment
from simulation.broker import SHIPPED, Broker, settings
from simulation.figures import Report, Tally, quantile, table
from simulation.herd import Herd
from simulation.run import Plan, run

PAGE = SHIPPED.parents[2] / "docs" / "fleet.md"


def said(listener: Listener, kind: str, instance: str) -> list:
    return [value for topic, value in listener.messages if topic.startswith(f"care/{kind}/{instance}")]


def test_every_message_is_as_its_schema_says_and_every_command_is_answered(fleet_broker: Broker) -> None:
    host, port = fleet_broker.address
    listener = Listener(port)
    tell = lambda payload: publish.single("care/control/sim-1", payload, qos=1, hostname=host, port=port)  # noqa: E731

    def between(text: str) -> None:
        if text.startswith("commands"):
            for payload in (
                "{",
                "[]",
                json.dumps({"command": "fly", "id": 1}),
                json.dumps({"command": "get_status"}),
            ):
                tell(payload)
            for request in (
                {"command": "set_inference_rate", "params": {"rate_hz": 99}, "id": "a"},
                {"command": "pause_inference", "id": "b"},
                {"command": "pause_inference", "id": "c"},
                {"command": "resume_inference", "id": "b"},
                {"command": "resume_inference", "id": "d"},
            ):
                tell(json.dumps(request))

    report = run(Plan(3, 1, 5, 0, fleet_broker.address), between)
    assert (report.lost, report.repeated, report.unanswered) == (0, 0, 0), report
    # A machine that is busy keeps no rate; more than was asked for is never said.
    assert 0 < report.published_hz <= 1.3 * 15
    for instance in ("sim-0", "sim-1", "sim-2"):
        results = said(listener, "inferences", instance)
        assert [result["frame_seq"] for result in results] == list(range(len(results)))
        assert results
        assert said(listener, "status", instance) == ["online", "stopped"]
        assert kept(f"care/status/{instance}", port) == b"stopped"
        state = json.loads(kept(f"care/state/{instance}", port))
        assert state["inference_rate_hz"] == 5, "four commands, the last one back to what it was"
        acks = [one for one in said(listener, "health", instance) if str(one.get("id")).startswith("fleet-")]
        assert [ack["status"] for ack in acks] == ["success"] * 4
    acks = [one for one in said(listener, "health", "sim-1") if not str(one.get("id")).startswith("fleet-")]
    answers = [(one.get("id"), one["status"], one.get("error")) for one in acks if "command_ack" in one]
    by_id = {id_: (status, error) for id_, status, error in answers if id_ is not None}
    assert by_id["a"] == ("error", "params.rate_hz: 99 is not within 0.1..30")
    assert by_id[1] == ("error", "command fly: the simulation does not play it")
    assert by_id["c"] == ("error", "already paused")
    assert next(one for one in acks if one.get("duplicate"))["command_ack"] == "pause_inference"
    assert sum(id_ is None for id_, _, _ in answers) == 3
    listener.close()


def test_nothing_is_lost_when_the_broker_restarts() -> None:
    report = run(Plan(8, 1, 5, 0.5))
    assert (report.lost, report.unanswered) == (0, 0), report
    assert report.connections == 16
    assert 0 < report.back_s[0] <= report.back_s[1]
    assert report.broker_mib > 1 and report.broker_cpu >= 0
    p50, p99 = report.latency_ms
    assert 0 < p50 <= p99
    assert len({len(line) for line in table([report, report]).splitlines()}) == 1


def test_an_instance_that_dies_is_offline_by_its_last_will(fleet_broker: Broker) -> None:
    herd = Herd(["sim-0"], fleet_broker.address, 1.0)
    port = fleet_broker.address[1]
    try:
        wait_for("the instance", lambda: herd.ask("ready"))
        assert kept("care/status/sim-0", port) == b"online"
        herd._process.kill()
        wait_for("the last will", lambda: kept("care/status/sim-0", port) == b"offline")
    finally:
        herd.end()


def test_orion_config_lists_and_commands_the_whole_fleet(fleet_broker: Broker) -> None:
    names = [f"sim-{number}" for number in range(5)]
    herd = Herd(names, fleet_broker.address, 1.0)
    uri = "mqtt://{}:{}".format(*fleet_broker.address)
    try:
        wait_for("all instances", lambda: len(herd.ask("ready")) == 5)
        listed = done(call("--broker", uri, "list", "--json")).splitlines()
        found = {(one["instance_id"], one["status"]) for one in map(json.loads, listed)}
        assert found == {(name, "online") for name in names}
        asked = {**environment(), "ORION_BROKER": uri, "PATH": f"{BUILT}:{os.environ['PATH']}"}
        for name in ("commands to all", "a command to one after another"):
            # The simulation has no models; whom the command goes to is what counts.
            text = command(name, PAGE).replace("set-model n", "set-rate 2")
            if "jq" in text and not shutil.which("jq"):
                continue
            subprocess.run(text, shell=True, check=True, capture_output=True, timeout=60, env=asked)
        for name in names:
            state = json.loads(kept(f"care/state/{name}", fleet_broker.address[1]))
            assert (state["inference_rate_hz"], state["revision"]) == (2, 2)
        assert "paused" in done(call("--broker", uri, "--id", "sim-3", "pause"))
        assert told(call("--broker", uri, "--id", "sim-3", "pause"), 1).strip().endswith("already paused")
    finally:
        herd.end()


def test_what_is_missing_and_what_comes_twice_is_counted() -> None:
    tally = Tally()
    for number in (0, 1, 3, 3, 5, 4, 0):
        tally.add(number)
    assert (tally.missing, tally.repeated) == ({2}, 2)
    assert (tally.lost(6), tally.lost(8)) == (1, 3)
    assert (quantile([3, 1, 2], 0.5), quantile([1], 0.99), quantile([], 0.5)) == (2, 1, None)
    assert quantile(range(1, 101), 0.99) == 99


def test_moments_are_read_as_they_are_written() -> None:
    at = 1_795_334_400_123_456_789
    assert moment.text(at) == "2026-11-22T08:00:00.123456789Z"
    assert moment.seconds(moment.text(at)) == pytest.approx(at / 1e9, abs=1e-5)
    assert abs(moment.seconds(moment.now()) - time.time()) < 5


def test_settings_in_force_follow_from_commands() -> None:
    desk = commands.Desk("a", 5.0)
    dry = json.dumps({"command": "pause_inference", "dry_run": True}).encode()
    assert desk.hear(dry, 0)["status"] == "success" and not desk.paused and desk.revision == 1
    for number in range(300):
        desk.hear(
            json.dumps({"command": "set_inference_rate", "params": {"rate_hz": 20}, "id": number}).encode(), 7
        )
    assert desk.revision == 2, "the same again changes nothing"
    assert len(desk.answered) == 256
    ack = desk.hear(b'{"command": "set_inference_rate", "params": {"rate_hz": true}}', 7)
    assert ack["error"] == "params.rate_hz: expected a number"
    assert desk.answered[299]["data"]["limited_by"] == "camera"


def test_the_shipped_broker_settings_are_those_that_are_measured() -> None:
    kept_lines = settings(SHIPPED.read_text())
    assert "max_queued_messages 1000000" in kept_lines and "persistence true" in kept_lines
    assert "/mosquitto/data" not in kept_lines and "listener" not in kept_lines


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--instances", "0"], "0 is not within 1..20000"),
        (["--seconds", "x"], "'x' is no number"),
        (["--rate", "nan"], "nan is not within 0.1..15"),
        (["--broker", "mqtt://host:99999"], "Port out of range"),
        (["--broker", "http://host"], "is not of the form mqtt://host[:port]"),
    ],
)
def test_a_wrong_command_line_is_told(words: list[str], problem: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        simulate.arguments(words)
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_broker_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulation.broker.shutil.which", lambda *_, **__: None)
    assert simulate.main(["--instances", "1"]) == 1
    assert "mosquitto is not installed" in capsys.readouterr().err


def test_too_many_connections_for_the_system_are_refused(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulation.machine.resource.getrlimit", lambda _: (1024, 4096))
    assert simulate.main(["--instances", "1000"]) == 1
    assert "2,000 connections need up to 6,200 open files, and 4,096 are allowed" in capsys.readouterr().err


def test_the_table_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{simulate.BEGIN}\nold\n{simulate.END}\nafter\n")
    simulate.write(page, table([Report(10, 1.0)]))
    text = page.read_text()
    assert (
        text.startswith("before\n")
        and text.endswith("after\n")
        and "old" not in text
        and "| instances" in text
    )
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no lines"):
        simulate.write(page, "x")
