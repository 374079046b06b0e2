# SPDX-License-Identifier: MPL-2.0
"""Who can do what at a broker with the rules of ops/mosquitto.acl, and where passwords are not found."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mqtt import Broker
from readme import command
from running import BUILT, ROOT, Program, wait_for, workers

PASSWORDS = {name: f"the-secret-of-{name}" for name in ("ward-3", "viewer", "operator")}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """A broker that knows three users and heeds the rules."""
    rules, passwords = tmp_path / "acl", tmp_path / "passwords"
    shutil.copy(ROOT / "ops" / "mosquitto.acl", rules)
    passwords.write_text("".join(f"{name}:{password}\n" for name, password in PASSWORDS.items()))
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, timeout=60)
    # Started by root it would go on as a user of its own, who may not read here.
    access = f"user root\nallow_anonymous false\nacl_file {rules}\npassword_file {passwords}\n"
    broker = Broker(tmp_path, access)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def hears(run: Callable[..., Program], guarded: Broker) -> Callable[[str], Program]:
    def start(user: str) -> Program:
        login = ("-u", user, "-P", PASSWORDS[user])
        return run("mosquitto_sub", "-v", "-p", guarded.port, "-t", "care/#", *login)

    return start


def tell(broker: Broker, user: str, topic: str, payload: str) -> None:
    login = ("-u", user, "-P", PASSWORDS[user])
    argv = ["mosquitto_pub", "-q", "1", "-p", str(broker.port), *login, "-t", topic, "-m", payload]
    # Mosquitto acknowledges what it throws away (MQTT 3.1.1 knows no other answer).
    subprocess.run(argv, check=True, timeout=20)


def daemon(run: Callable[..., Program], broker: Broker, folder: Path) -> Program:
    config = folder / "orion.yaml"
    config.write_text(
        json.dumps(
            {
                "instance_id": "ward-3",
                "stream": {"warmup_duration_s": 0, "resolution": "320p", "fps": 20},
                "models": {"person_detector": {"detector": "motion"}},
                "mqtt": {"uri": broker.uri, "username": "ward-3"},
                "http": {"bind": ""},
            }
        )
    )
    secrets = {"ORION_MQTT_PASSWORD": PASSWORDS["ward-3"], "SOME_TOKEN": "a-token-of-the-host"}
    program = run(BUILT / "orion-launch", "--config", config, "--log-format", "text", **secrets)
    program.wait_for_line(r"is running")
    return program


def test_each_one_may_do_what_the_rules_say(run, guarded, hears, tmp_path):
    viewer, operator = hears("viewer"), hears("operator")
    program = daemon(run, guarded, tmp_path)
    viewer.wait_for_line(r"^care/inferences/ward-3/motion\S* \{")
    viewer.wait_for_line(r"^care/state/ward-3 \{")
    command = {"command": "pause_inference", "id": "of-viewer"}
    tell(guarded, "viewer", "care/control/ward-3", json.dumps(command))
    tell(guarded, "ward-3", "care/status/ward-4", "forged")
    tell(guarded, "operator", "care/control/ward-3", json.dumps({**command, "id": "of-operator"}))
    answer = operator.wait_for_line(r"^care/health/ward-3 (\{.*of-operator.*)$")
    # Commands are answered in their order, so that of the viewer would have come before.
    assert json.loads(answer.group(1))["status"] == "success"
    assert "of-viewer" not in operator.output and "forged" not in operator.output
    assert program.is_running()


def test_a_worker_that_has_fewer_rights_does_its_work(run, tmp_path):
    words = ["unshare", "--map-root-user", "--net", "true"]
    if subprocess.run(words, capture_output=True, timeout=20).returncode:
        pytest.skip("this system gives no user namespaces")
    probe = tmp_path / "worker.sh"
    # The worker, after a look at what it has.
    script = f"""#!/bin/sh
        {{ ls /sys/class/net; grep NoNewPrivs /proc/self/status; ulimit -n; }} > {tmp_path}/rights
        exec {os.environ.get("ORION_WORKER") or ROOT / "models" / "run_worker.sh"} "$@"
    """
    probe.write_text(script)
    probe.chmod(0o755)
    program = run(shell=command("a worker without a network"), WORKER=str(probe))
    assert program.wait(60) == 0, program.output
    assert "ERROR" not in program.output
    rights = (tmp_path / "rights").read_text()
    assert "256" in rights and "NoNewPrivs:\t1" in rights


def test_passwords_are_not_where_others_may_look(run, guarded, hears, tmp_path):
    viewer = hears("viewer")
    program = daemon(run, guarded, tmp_path)
    viewer.wait_for_line(r"^care/inferences/ward-3/")
    wait_for("a worker", lambda: workers(program.pid))
    for pid in workers(program.pid):
        environment = Path(f"/proc/{pid}/environ").read_text()
        assert "PATH=" in environment
        assert "the-secret-of" not in environment and "a-token-of-the-host" not in environment
    for pid in (program.pid, *workers(program.pid)):
        assert "the-secret-of" not in Path(f"/proc/{pid}/cmdline").read_text()
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert limits.split("Max core file size")[1].split()[0] == "0", "a core holds everything"
    assert "the-secret-of" not in viewer.output + program.output
