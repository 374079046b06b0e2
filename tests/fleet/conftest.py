# SPDX-License-Identifier: MPL-2.0
"""What the tests of fleets share: the modules under test, and those of the end-to-end tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "tests" / "e2e", ROOT / "ops" / "fleet"):
    sys.path.insert(0, str(folder))

from postgres import Postgres  # noqa: E402
from simulation.broker import Broker  # noqa: E402


@pytest.fixture
def fleet_broker() -> Iterator[Broker]:
    """Mosquitto with the configuration that is shipped for fleets."""
    broker = Broker()
    broker.start()
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """PostgreSQL, with whatever tests before have left in it."""
    postgres = Postgres(tmp_path_factory.mktemp("database"))
    yield postgres
    postgres.stop()
