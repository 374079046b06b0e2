# SPDX-License-Identifier: MPL-2.0
"""The shell scripts that make the environment and start the worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import constant, yolo_columns
from worker_process import MODELS

RUN = MODELS / "run_worker.sh"
SETUP = MODELS / "setup_env.sh"


def shell(script: Path, *arguments: object, **env: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ORION_")}
    command = ["sh", str(script), *(str(argument) for argument in arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=clean | env, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def environment(tmp_path) -> Path:
    """A virtual environment as far as run_worker.sh can tell: its python is the one of this test."""
    (tmp_path / "env" / "bin").mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return tmp_path / "env"


def test_the_process_that_was_started_becomes_the_worker(start, tmp_path, environment):
    model = constant(tmp_path / "m.onnx", yolo_columns([], 84), 64)
    worker = start("--model", model, program=("sh", RUN), ORION_VENV=str(environment))
    assert worker.ready()["pid"] == worker.pid
    assert worker.terminate() == -15


def test_it_finds_its_files_through_links(start, tmp_path, environment):
    model = constant(tmp_path / "m.onnx", yolo_columns([], 84), 64)
    (tmp_path / "first").symlink_to(os.path.relpath(RUN, tmp_path))
    (tmp_path / "second").symlink_to("first")
    worker = start("--model", model, program=(tmp_path / "second",), ORION_VENV=str(environment))
    worker.ready()
    assert worker.finish() == 0


def test_arguments_arrive_unchanged(environment):
    done = shell(RUN, "--model", "a file with spaces.onnx", ORION_VENV=str(environment))
    assert done.returncode == 3
    assert "model file a file with spaces.onnx does not exist" in done.stderr


def test_a_missing_environment_is_named_with_the_remedy(tmp_path):
    done = shell(RUN, ORION_VENV=str(tmp_path / "none"))
    assert done.returncode == 78
    assert done.stderr.startswith(
        f"[ERROR] the Python environment {tmp_path}/none does not exist; run `make setup`"
    )
    assert f"sh {MODELS}/setup_env.sh" in done.stderr
    assert done.stdout == ""


def test_a_broken_environment_is_named_with_the_remedy(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/nowhere/python3")
    done = shell(RUN, ORION_VENV=str(tmp_path))
    assert done.returncode == 78
    assert f"[ERROR] the Python environment {tmp_path} is broken" in done.stderr


def test_an_environment_without_the_packages_is_said_in_one_line(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True, timeout=60)
    done = shell(RUN, ORION_VENV=str(tmp_path), PYTHONPATH="")
    assert done.returncode == 78
    assert done.stderr.startswith("[ERROR] No module named ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--production",), ("--dev", "--system"), ("--wheels",)])
def test_setup_refuses_arguments_it_does_not_know(arguments, tmp_path):
    done = shell(SETUP, *arguments, ORION_VENV=str(tmp_path / "env"))
    assert done.returncode == 1
    assert done.stderr.startswith("[ERROR] ")
    assert not (tmp_path / "env").exists()


def test_setup_never_empties_a_directory_it_did_not_make(tmp_path):
    (tmp_path / "photos").write_text("dear")
    done = shell(SETUP, ORION_VENV=str(tmp_path))
    assert done.returncode == 1
    assert f"{tmp_path} was not made by this script" in done.stderr
    assert (tmp_path / "photos").read_text() == "dear"


def test_setup_names_an_interpreter_that_is_missing(tmp_path):
    done = shell(SETUP, ORION_VENV=str(tmp_path / "env"), PYTHON="python-of-tomorrow")
    assert done.returncode == 1
    assert "python-of-tomorrow not found; install Python 3.10 or newer" in done.stderr


def test_the_locks_pin_every_package_with_hashes_and_name_no_source():
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (MODELS / name).read_text()
        packages = [line for line in text.splitlines() if line and line[0] not in " #"]
        assert all("==" in line and line.endswith("\\") for line in packages), name
        assert text.count("--hash=sha256:") >= len(packages)
        assert "://" not in text and "index" not in text
    runtime, development = ((MODELS / f"requirements{kind}.lock").read_text() for kind in ("", "-dev"))
    pins = {line.split(" ")[0] for line in runtime.splitlines() if "==" in line}
    assert pins <= {line.split(" ")[0] for line in development.splitlines() if "==" in line}
