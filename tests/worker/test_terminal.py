# SPDX-License-Identifier: MPL-2.0
"""A person at a terminal, and any environment a host may have."""

import json
import logging
import os
import pty
import select
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
from tiny_models import constant, yolo_columns
from worker_process import MODELS, PATIENCE_S, frame_message

from orion_worker.log import OneLine

PROGRAM = [sys.executable, str(MODELS / "person_detector.py"), "--detector", "motion"]


class Terminal:
    """A worker whose standard input, and output if asked for, are a real terminal."""

    def __init__(self, output_too: bool = True, **env: str):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            PROGRAM,
            stdin=slave,
            stdout=slave if output_too else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | env,
            start_new_session=True,
        )
        os.close(slave)
        self._seen = b""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def line(self) -> str:
        """The next line on the screen, what was typed included."""
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._seen:
            readable, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"nothing more on the screen after {self._seen!r}"
            self._seen += os.read(self._master, 4096)
        line, _, self._seen = self._seen.partition(b"\n")
        return line.decode().rstrip("\r")

    def answer(self) -> dict:
        """The next answer; the echo of what was typed and blank lines are passed over."""
        while True:
            line = self.line()
            if line.startswith('{"type"'):
                return json.loads(line)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)

    def stderr(self) -> str:
        return self.process.communicate(timeout=PATIENCE_S)[1].decode()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._master)


@pytest.fixture
def terminal():
    opened = []

    def open_one(**options):
        opened.append(Terminal(**options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_a_person_types_commands_and_reads_lines(terminal):
    screen = terminal()
    assert screen.answer()["worker"] == "motion_detector"
    screen.type('{"command":"ping"}\n')
    assert screen.answer()["data"] == {"worker": "motion_detector", "version": "0.1.0"}
    screen.type('\n   \n{"command": "set_confidence", "params": {"confidence": 0.75}, "id": "mine"}\n')
    answer = screen.answer()
    assert (answer["id"], answer["data"]) == ("mine", {"confidence": 0.75})
    screen.type("\x04")
    assert screen.wait() == 0
    assert 'type commands like {"command": "ping"}' in screen.stderr()


@pytest.mark.parametrize("typo", ['{"command": "pin', "ping", '{"command": "pin"}', "}{", "\x80\xff", "[1]"])
def test_a_typo_is_answered_by_a_line_and_the_session_goes_on(terminal, typo):
    screen = terminal()
    screen.answer()
    screen.type(typo + "\n")
    answer = screen.answer()
    if answer["type"] == "ack":
        assert "unknown command 'pin'" in answer["error"]
    else:
        assert answer["code"] == "bad_message"
        assert 'expected one like {"command": "ping"}' in answer["message"]
    screen.type('{"command":"ping"}\n')
    assert screen.answer()["status"] == "success"
    screen.type("\x04")
    assert screen.wait() == 0


def test_typed_commands_still_bring_messages_where_a_program_reads(terminal):
    screen = terminal(output_too=False)
    screen.type('{"command":"ping"}\n\x04')
    assert screen.wait() == 0
    data = screen.process.stdout.read()
    length = int.from_bytes(data[:4], "big")
    assert b"ready" in data[4 : 4 + length]
    assert data[4 + length : 7 + length] == b"\0\0\0"


def test_ctrl_c_ends_the_session_of_a_person(terminal):
    screen = terminal()
    screen.answer()
    screen.process.send_signal(2)
    assert screen.wait() == -2


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "tr_TR.ISO-8859-9"},
        {"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"},
        {"PYTHONIOENCODING": "utf-16"},
    ],
    ids=lambda given: " ".join(f"{name}={value}" for name, value in given.items()) or "empty",
)
def test_no_environment_changes_what_is_on_the_wire_or_in_the_log(tmp_path, environment):
    label = "köşe 日本"
    columns = yolo_columns([[32, 32, 16, 16, 0.9]], 84, classes=1)
    model = constant(tmp_path / "m.onnx", columns, 64, names=[label])
    command = [sys.executable, MODELS / "person_detector.py", "--model", model, "--threads", "1"]
    # Bytes, because the flags of a host are UTF-8 whatever this test's own locale is.
    command = [os.fsencode(part) for part in (*command, "--labels")] + [label.encode()]
    running = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd="/",
    )
    try:
        message = frame_message(np.zeros((48, 64, 3), np.uint8), 1)
        message["meta"]["room_id"] = label
        body = msgspec.msgpack.encode(message)
        wrong = b'{"command": "set_labels", "params": {"labels": ["g\xc3\xbcn"]}}\n'
        data = len(body).to_bytes(4, "big") + body + wrong
        out, err = running.communicate(data, timeout=PATIENCE_S)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 0, err
    answers = []
    while out:
        length = int.from_bytes(out[:4], "big")
        answers.append(msgspec.msgpack.decode(out[4 : 4 + length]))
        out = out[4 + length :]
    ready, result, refused = answers
    assert ready["type"] == "ready"
    assert (result["room_id"], result["data"]["detections"][0]["label"]) == (label, label)
    assert refused["error"] == f"params.labels: unknown label 'gün'; the model knows: {label}"
    assert all(line.startswith("[INFO] ") for line in err.decode().splitlines())


def test_an_unknown_label_is_logged_in_utf_8(tmp_path, start):
    columns = yolo_columns([], 84, classes=1)
    model = constant(tmp_path / "m.onnx", columns, 64, names=["köşe"])
    worker = start("--model", model, "--labels", "gün", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert worker.wait() == 3
    assert "unknown label 'gün'; the model knows: köşe" in worker.stderr()


LEVELS = """
import logging, sys, warnings
import orion_worker

class Loud:
    def load(self):
        other = logging.getLogger("third.party")
        for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, 25):
            other.log(level, "at %d", level)
        logging.getLogger("orion_worker").setLevel(logging.ERROR)
        other.error("two\\nlines")
        warnings.warn("mind the gap")
        try:
            1 / 0
        except ZeroDivisionError:
            other.exception("oops")

    def infer(self, image, attention):
        return []

sys.exit(orion_worker.run(Loud()))
"""


def test_whatever_logs_comes_out_as_lines_with_a_level(start, tmp_path):
    program = tmp_path / "loud.py"
    program.write_text(LEVELS)
    worker = start(program=(sys.executable, program))
    worker.ready()
    assert worker.finish() == 0
    lines = worker.stderr().splitlines()
    assert lines[:6] == [
        "[CRITICAL] at 50",
        "[ERROR] at 40",
        "[WARNING] at 30",
        "[INFO] at 20",
        "[INFO] at 25",
        "[ERROR] two | lines",
    ]
    assert lines[6].startswith("[WARNING] ") and "UserWarning: mind the gap" in lines[6]
    assert lines[7].startswith("[ERROR] oops | Traceback") and lines[7].endswith("division by zero")
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("level", "name"), [(1, "DEBUG"), (39, "WARNING"), (50, "CRITICAL"), (99, "CRITICAL")]
)
def test_a_level_of_ones_own_counts_as_the_one_below(level, name):
    record = logging.LogRecord("x", level, "", 0, "text", None, None)
    assert OneLine().format(record) == f"[{name}] text"


def test_without_standard_error_the_log_goes_nowhere_least_of_all_into_the_messages():
    script = f'exec "{sys.executable}" "{MODELS}/person_detector.py" --detector motion 2>&-'
    done = subprocess.run(["sh", "-c", script], input=b"", stdout=subprocess.PIPE, timeout=PATIENCE_S)
    assert done.returncode == 0
    assert int.from_bytes(done.stdout[:4], "big") == len(done.stdout) - 4
    assert msgspec.msgpack.decode(done.stdout[4:])["type"] == "ready"
