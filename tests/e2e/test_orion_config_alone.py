# SPDX-License-Identifier: MPL-2.0
"""orion-config without any daemon: it always ends, and what it says of itself."""

import json
import re
import socket
import subprocess
from pathlib import Path

import pytest
from client import PROGRAM, call, done, environment
from running import BUILT

COMMANDS = (
    "status",
    "list",
    "watch --count 1",
    "set-model s",
    "set-rate 2",
    "set-roi 0,0,1,1",
    "clear-roi",
    "auto-focus on",
    "pause",
    "resume",
    "restart-worker",
    "update-config room_id=x",
    "cameras",
    "cameras add x",
    "cameras remove x",
    "shutdown",
    'raw {"command":"get_status"}',
)


def test_without_a_broker_everything_ends_with_a_line_that_says_why():
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        closed.bind(("127.0.0.1", 0))
        uris = {f"mqtt://127.0.0.1:{it.getsockname()[1]}": it is silent for it in (silent, closed)}
        started = []
        for uri, waits in uris.items():
            for words in COMMANDS:
                argv = [str(PROGRAM), "--broker", uri, "--timeout", "1.5", "--json", *words.split()]
                program = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=environment(),
                )
                started.append((words, waits, program))
        for words, waits, program in started:
            out, error = program.communicate(timeout=20)
            assert program.returncode == 3, (words, error)
            assert re.fullmatch(r"orion-config: MQTT broker [^\n]+\n", error), (words, error)
            assert ("does not answer within 1.5 s" if waits else "Connection refused") in error
            assert json.loads(out)["status"] == "no_answer"


def test_variables_of_its_help_are_none_that_the_daemon_minds(tmp_path: Path):
    text = done(call("--help"))
    names = sorted(set(re.findall(r"ORION_\w+", text)))
    assert len(names) == 12, names
    known = {"ORION_TIMEOUT": "5", "ORION_TLS_INSECURE": "false", "ORION_JSON": "true", "ORION_ID": "me"}
    values = {name: known.get(name, "mqtt://h" if name == "ORION_BROKER" else "x") for name in names}
    check = [str(BUILT / "orion-launch"), "check"]
    daemon = subprocess.run(
        check, capture_output=True, text=True, timeout=20, env={**environment(), **values}
    )
    assert (daemon.returncode, daemon.stdout) == (0, "the configuration is good\n"), daemon.stderr


@pytest.mark.parametrize("program", ["orion-config", "orion-launch"])
def test_completions_and_manual_pages(program, tmp_path: Path):
    for shell in ("bash", "zsh", "fish"):
        script = done(
            subprocess.run(
                [BUILT / program, "completions", shell], capture_output=True, text=True, timeout=20
            )
        )
        assert program in script
        if shell == "bash":
            assert subprocess.run(["bash", "-n"], input=script, text=True, timeout=20).returncode == 0
    done(
        subprocess.run(
            [BUILT / program, "man", tmp_path / "man1"], capture_output=True, text=True, timeout=20
        )
    )
    pages = {page.name for page in (tmp_path / "man1").iterdir()}
    assert f"{program}.1" in pages and len(pages) > 3, pages
    assert (tmp_path / "man1" / f"{program}.1").read_text().count(".SH") >= 3
