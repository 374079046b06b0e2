# SPDX-License-Identifier: MPL-2.0
"""What compose.yaml starts fits together: broker, rules, passwords and the command lines of consumers."""

import json
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import consumer
import paho.mqtt.publish as publish
import pytest
import yaml
from conftest import ROOT
from mqtt import free_port
from postgres import Postgres
from readme import command
from running import Program, wait_for
from simulation import broker, messages

FLEET = ROOT / "ops" / "fleet"
PAGE = ROOT / "docs" / "fleet.md"


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((FLEET / "compose.yaml").read_text())


def test_files_that_are_named_are_there(compose: dict) -> None:
    for config in compose["configs"].values():
        assert (FLEET / config["file"]).is_file(), config
    copied = compose["x-consumer"]["build"]["dockerfile_inline"]
    for line in copied.splitlines():
        if line.startswith("COPY"):
            assert all((FLEET / word).is_file() for word in line.split()[1:-1]), line


def test_consumers_have_names_that_stay_and_arguments_that_are_good(compose: dict) -> None:
    services = {name: one for name, one in compose["services"].items() if name.startswith("consumer")}
    assert len({one["hostname"] for one in services.values()}) == len(services) >= 2
    for one in services.values():
        asked = consumer.arguments(one["command"])
        assert (
            asked.broker == "mqtt://store@broker"
            and asked.database == "postgresql://postgres@database/postgres"
        )
        assert one["restart"] == "always", "whoever dies has to come back for what waits for it"
        for file in (asked.broker_password_file, asked.database_password_file):
            assert file.name in one["secrets"] and file.name in compose["secrets"]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[int]:
    """The port of a broker with the shipped configuration as it is, but for where its files are."""
    subprocess.run(command("the secrets of compose", PAGE), shell=True, check=True, cwd=tmp_path, timeout=60)
    passwords = tmp_path / "secrets" / "mosquitto_passwords"
    add = ["mosquitto_passwd", "-b", str(passwords), "ward-3", "of-ward-3"]
    subprocess.run(add, check=True, timeout=30, capture_output=True)
    port, text = free_port(), broker.SHIPPED.read_text()
    for path, here in (
        ("listener 1883", f"listener {port} 127.0.0.1"),
        ("/run/secrets/mosquitto_passwords", passwords),
        ("/mosquitto/config/orion.acl", ROOT / "ops" / "mosquitto.acl"),
        ("/mosquitto/data/", f"{tmp_path}/"),
    ):
        assert path in text
        text = text.replace(path, str(here))
    # Started by root it would go on as a user of its own, who may not read here.
    (tmp_path / "mosquitto.conf").write_text(f"{text}\nuser root\n")
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    program = Program([binary, "-c", str(tmp_path / "mosquitto.conf")])

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for("mosquitto", listens, 10)
    yield port
    program.kill()


def test_the_rules_let_a_daemon_publish_and_a_consumer_write(
    guarded: int, database: Postgres, tmp_path: Path
) -> None:
    words = f"--broker mqtt://store@127.0.0.1:{guarded} --database {database.address} --hold 0.02".split()
    words += ["--client-id", "one", "--broker-password-file", str(tmp_path / "secrets" / "broker_password")]
    program = Program([sys.executable, str(FLEET / "consumer.py"), *words])
    try:
        program.wait_for_line("did not know this consumer")
        result = json.dumps(messages.result("ward-3", 1, 1, random.Random(1)))
        for topic in ("care/inferences/ward-4/person_detection", "care/inferences/ward-3/person_detection"):
            auth = {"username": "ward-3", "password": "of-ward-3"}
            publish.single(topic, result, qos=1, hostname="127.0.0.1", port=guarded, auth=auth)
        wait_for("the tables", lambda: database.ask("SELECT to_regclass('refused')")[0][0] is not None, 10)
        ours = "SELECT count(*) FROM results WHERE instance_id = 'ward-3'"
        wait_for("the row", lambda: database.ask(ours) == [[1]], 10)
        program.signal(signal.SIGTERM)
        assert program.wait(10) == 0
        # The other topic is not this daemon's: had it been let through, it would have come twice.
        assert "written=1, repeated=0, refused=0" in program.output
    finally:
        program.kill()
