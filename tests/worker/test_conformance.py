# SPDX-License-Identifier: MPL-2.0
"""The tool `check` passes good workers, and names the rules that a broken one breaks."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from worker_process import MODELS, PATIENCE_S

from orion_worker.conformance.bench import Bench
from orion_worker.conformance.checks import CHECKS, run_all
from orion_worker.conformance.cli import main

STUB = Path(__file__).with_name("stub_worker.py")
GOOD = "nothing"
EVERY_CHECK = {check.name for check in CHECKS}


def stub(fault: str) -> list[str]:
    return [sys.executable, str(STUB), fault]


def outcomes(fault: str, timeout: float = 5.0) -> dict[str, tuple[str, str]]:
    """Result and detail of every check, by its name."""
    with Bench(stub(fault), timeout, frames=30) as bench:
        return {outcome.check: (outcome.result, outcome.detail) for outcome in run_all(bench)}


def with_result(found: dict[str, tuple[str, str]], result: str) -> set[str]:
    return {name for name, (given, _) in found.items() if given == result}


def tool(*arguments: object, **options: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "orion_worker", "check", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, **options
    )


def sessions_of(name: str) -> list[int]:
    """Processes whose command line contains a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if name.encode() in command and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def test_a_worker_that_knows_nothing_of_orion_worker_passes_by_keeping_the_protocol():
    found = outcomes(GOOD)
    assert set(found) == EVERY_CHECK
    assert with_result(found, "pass") == EVERY_CHECK, found


# Faults that have nothing to do with each other, in one worker; the check that fails of each, and why.
BROKEN = [
    {
        "cannot tell the time": ("ready", "ready.load_ms is nan"),
        "garbles text": ("locale", "room_id 'köşe-日本' came back as 'k??e-??'"),
        "refuses regions": ("region", "ValueError('no regions please')"),
        "leaks": ("memory", "at most 16 MB allowed"),
    },
    {
        "speaks protocol 2": ("ready", "ready.protocol is 2, expected 1"),
        "believes every place": ("shared-memory", "was answered by a message of type 'stub', expected error"),
        "cuts the nanoseconds": ("echo", "timestamp '2025-01-01T00:00:00Z' in the answer"),
        "miscounts": ("fields", "data.count is 2 with 1 detections"),
        "ignores SIGTERM": ("sigterm", "after SIGTERM when idle: it still runs after 2 s"),
    },
    {
        "knows its arguments only": ("host-arguments", "its log ends with: unknown arguments ['--detector'"),
        "needs a type": ("no-type", "a frame without type with error 'bad_message'"),
        "puts boxes outside": ("boxes", "does not lie in the frame of 64x48 px"),
        "fails at the end": ("end-of-input", "exit status 3 after the end of input, expected 0"),
    },
    {
        "needs a home": ("empty-environment", "KeyError: 'HOME'"),
        "knows its fields only": ("unknown-fields", "unknown field x_colour"),
        "goes back in time": ("timing", "timing.inference_ms is -1.0"),
        "has a topic for a type": ("result-type", "type 'stub/results'"),
        "looks at the first slot": ("shared-memory", "jpeg in slot 1 at 4096 with error 'bad_frame'"),
    },
    {
        "refuses odd sizes": ("format-rgb", "rgb of 63x47 px with error 'bad_frame': no picture"),
        "calls half a JPEG a picture": ("bad-jpeg", "a JPEG cut in the middle was answered by a message of"),
        "takes sequence numbers for floats": ("echo", "frame_seq 9007199254740992 in the answer"),
        "says yes to everything": ("commands", "no_such_command was acknowledged with status 'success'"),
    },
    {
        "takes raw frames of any length": ("bad-raw", "rgb of one byte too few was answered by"),
        "changes its type": ("result-type", "results of different types: stub_64, stub_640"),
        "is infinitely sure": ("boxes", "confidence inf is not a number from 0 to 1"),
        "stops at once": ("end-of-input", "sent before the end of input: its standard output ended"),
    },
    {
        "runs out of memory for a huge JPEG": ("huge-jpeg", "its standard output ended (exit status 137)"),
        "counts seconds twice": ("timing", "timing.total_ms is 60000.0, but the answer took"),
        "waits for the rest": ("end-inside-message", "it still runs after 1 s"),
    },
    {
        "dies of garbage": (
            "garbage",
            "an array instead of a map: its standard output ended (exit status 1)",
        ),
        "does not read lines": ("json-line", "no answer within 1 s"),
        "drops answers when the pipe is full": ("slow-reader", "no answer within 1 s"),
        "waits for 4 GiB": ("long-length", "neither an error nor an end: no answer within 1 s"),
    },
]


@pytest.mark.parametrize("faults", BROKEN, ids=[", ".join(row) for row in BROKEN])
def test_exactly_the_broken_rules_fail_and_the_reasons_are_said(faults):
    waits = any("1 s" in reason for _, reason in faults.values())
    found = outcomes(", ".join(faults), timeout=1.0 if waits else 5.0)
    assert with_result(found, "FAIL") == {check for check, _ in faults.values()}, found
    for check, reason in faults.values():
        assert reason in found[check][1]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("greets", "b'Loading model...\\n"),
        ("says goodbye", "8 bytes after the last answer: b'Goodbye\\n'"),
        ("never gets ready", "no answer within 1 s"),
    ],
)
def test_without_a_clean_start_nothing_else_is_judged(fault, reason):
    found = outcomes(fault, timeout=1.0)
    assert with_result(found, "FAIL") == {"stdout"}
    assert reason in found["stdout"][1]
    assert with_result(found, "skip") == EVERY_CHECK - {"stdout"}
    assert found["boxes"][1] == "needs stdout"


def test_a_wrong_order_fails_wherever_several_frames_are_out():
    found = outcomes("answers the newest first")
    assert "were answered in the order" in found["two-at-once"][1]
    assert with_result(found, "FAIL") <= {"two-at-once", "slow-reader", "end-of-input"}


def test_a_bad_frame_without_an_answer_fails_wherever_one_is_due():
    found = outcomes("swallows bad frames", timeout=1.0)
    assert "no answer within 1 s" in found["stdout"][1]


def test_a_format_that_is_not_supported_is_no_failure_and_no_other_check_uses_it():
    found = outcomes("takes raw only")
    assert with_result(found, "skip") == {"format-jpeg"}
    assert with_result(found, "FAIL") == set()
    assert found["formats"][1] == "reads rgb, bgr, i420, nv12"


def test_shared_memory_is_optional():
    found = outcomes("wants messages")
    assert with_result(found, "skip") == {"shared-memory"}
    assert with_result(found, "FAIL") == set()


def test_a_worker_that_reads_nothing_fails():
    found = outcomes("takes nothing")
    assert found["formats"] == ("FAIL", found["formats"][1])
    assert "it reads none of jpeg, rgb" in found["formats"][1]


def test_a_format_is_unsupported_and_not_bad():
    found = outcomes("calls nv12 bad")
    assert with_result(found, "FAIL") == {"formats", "format-nv12"}


def test_a_worker_in_plain_c_passes(tmp_path):
    sources = sorted((MODELS.parent / "tests" / "c_worker").glob("*.c"))
    program = tmp_path / "worker"
    subprocess.run(["cc", "-std=c99", "-O1", "-o", program, *sources, "-lm"], check=True, timeout=PATIENCE_S)
    done = tool("--frames", 30, "--", program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CHECKS) - 2} pass, 2 skip" in done.stdout


def test_much_log_is_a_warning():
    found = outcomes("talks")
    assert with_result(found, "warn") == {"log-volume"}
    assert "90 lines on standard error in 30 frames" in found["log-volume"][1]
    assert with_result(found, "FAIL") == set()


def test_what_a_worker_leaves_behind_is_found_and_ended():
    found = outcomes("leaves a child behind", timeout=1.0)
    assert with_result(found, "FAIL") == {"end-of-input", "end-inside-message", "sigterm"}
    assert "its child process" in found["end-of-input"][1]
    assert sessions_of("sleep\x00300") == []


def test_the_shipped_motion_detector_passes():
    done = tool("--frames", 20, "--", sys.executable, MODELS / "person_detector.py", "--detector", "motion")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == [check.name for check in CHECKS]
    assert lines[-1].startswith(f"{len(CHECKS)} pass in ")
    assert done.stderr == ""


def test_programs_read_one_json_object_a_line():
    done = tool("--json", "--frames", 10, "--timeout", 5, STUB, "--", "puts boxes outside")
    assert done.returncode == 1
    *rows, last = map(json.loads, done.stdout.splitlines())
    assert [row["check"] for row in rows] == [check.name for check in CHECKS]
    assert [row["check"] for row in rows if row["result"] == "fail"] == ["boxes"]
    assert (last["pass"], last["fail"]) == (len(CHECKS) - 1, 1)
    assert last["command"] == [sys.executable, str(STUB), "puts boxes outside"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "no worker given"),
        (("--",), "no command after --"),
        (("nowhere.py",), "nowhere.py: no such file"),
        (("./worker",), "./worker is no .py file; to run a command, put -- before it"),
        (("--", "program-of-tomorrow"), "program-of-tomorrow: no such program"),
        (("--frames", "9", "x.py"), "argument --frames: '9' is not a whole number from 10"),
        (("--timeout", "soon", "x.py"), "argument --timeout: 'soon' is not a number"),
        (("--timeout", "nan", "x.py"), "argument --timeout: 'nan' is not from 0.1 to 3600"),
        (("x.py", "y.py"), "unrecognized arguments: y.py"),
    ],
)
def test_wrong_usage_is_said_in_one_line(capsys, arguments, text):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("[ERROR] ") and text in err and err.count("\n") == 1


def test_a_program_that_cannot_be_run_is_named(tmp_path, capsys):
    program = tmp_path / "worker"
    program.write_bytes(b"\x7fELF no program")
    program.chmod(0o755)
    assert main(["--", str(program)]) == 2
    assert f"cannot start {program}: Exec format error" in capsys.readouterr().err


def test_help_names_every_check():
    done = tool("--help")
    assert done.returncode == 0
    assert set(done.stdout.partition("Checks:")[2].split()) == EVERY_CHECK
    assert "check my_worker.py" in done.stdout and "Exit status" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_check_leaves_no_process_behind(tmp_path, number):
    marker = str(tmp_path / "stub_worker.py")
    Path(marker).symlink_to(STUB)
    command = [sys.executable, "-m", "orion_worker", "check", marker, "--", "never gets ready"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        # The header comes before the first worker is started; wait for that one.
        assert running.stdout.readline().startswith(b"worker: ")
        deadline = os.times().elapsed + PATIENCE_S
        while len(sessions_of(marker)) < 2:
            assert os.times().elapsed < deadline, "the worker was never started"
        running.send_signal(number)
        assert running.wait(PATIENCE_S) == 128 + number
        assert sessions_of(marker) == []
    finally:
        running.kill()
        running.communicate()
