# SPDX-License-Identifier: MPL-2.0
"""Paths and data that the tests share."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "models"))

from worker_process import WorkerProcess  # noqa: E402  (it needs the path above)


@pytest.fixture
def start() -> Iterator[Callable[..., WorkerProcess]]:
    """Starts worker processes and makes sure that none outlives its test."""
    started: list[WorkerProcess] = []

    def launch(*arguments: object, **options: object) -> WorkerProcess:
        worker = WorkerProcess(*arguments, **options)
        started.append(worker)
        return worker

    yield launch
    for worker in started:
        worker.kill()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Models and pictures that are not in the repository; their owners' licences stay with them."""
    default = ROOT.parent / "shared" / "data"
    found = Path(os.environ.get("ORION_TEST_DATA") or default)
    if not (found / "models").is_dir():
        pytest.skip(f"test data not found in {found}; set ORION_TEST_DATA")
    return found


@pytest.fixture(scope="session")
def wire_dir() -> Path:
    """The golden messages."""
    return ROOT / "tests" / "fixtures" / "wire"
