# SPDX-License-Identifier: MPL-2.0
"""A site with a broker of its own, and the centre, on a line that breaks."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from client import call, done
from conftest import ROOT
from mqtt import free_port, kept
from running import Program, wait_for
from simulation.broker import SHIPPED, Broker, settings
from simulation.herd import Herd
from simulation.watcher import Watcher

FILE = ROOT / "ops" / "fleet" / "bridge.conf"


def bridge(centre: Broker) -> str:
    """The shipped lines, without encryption and to a centre that is there."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith(("bridge_", "address"))]
    at = lines.index("connection centre") + 1
    return "\n".join([*lines[:at], "address {}:{}".format(*centre.address), *lines[at:]])


class Site:
    """A broker that has a bridge to the centre."""

    def __init__(self, folder: Path, centre: Broker) -> None:
        self.port, config = free_port(), folder / "site.conf"
        here = f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
        here += f"persistence_location {folder}/\n"
        # What belongs to a connection stands at the end.
        config.write_text(f"{here}{settings(SHIPPED.read_text())}{bridge(centre)}\n")
        self.program = Program([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)])


@pytest.fixture
def site(fleet_broker: Broker, tmp_path: Path) -> Iterator[Site]:
    started = Site(tmp_path, fleet_broker)
    yield started
    started.program.kill()


def test_nothing_said_at_a_site_is_lost_when_the_line_breaks(site: Site, fleet_broker: Broker) -> None:
    centre = fleet_broker.address[1]
    watcher = Watcher(fleet_broker.address)
    wait_for("the consumer", lambda: watcher.ask("is_up"))
    herd = Herd(["ward-1"], ("127.0.0.1", site.port), 10.0)
    try:
        wait_for("the status at the centre", lambda: kept("care/status/ward-1", centre) == b"online")
        wait_for("the state at the centre", lambda: kept("care/state/ward-1", centre) is not None)
        done(call("--broker", f"mqtt://127.0.0.1:{centre}", "--id", "ward-1", "set-rate", "15"))
        assert json.loads(kept("care/state/ward-1", site.port))["inference_rate_hz"] == 15
        made = herd.ask("totals")["ward-1"]

        fleet_broker.stop()
        # Meanwhile the site works, and remembers.
        wait_for("more results", lambda: herd.ask("totals")["ward-1"] > made + 10)
        fleet_broker.start()
        herd.ask("rest")
        totals = herd.ask("totals")
        wait_for("all results", lambda: watcher.ask("lost", totals)[0] == 0)

        assert kept("sites/site-ward", centre) == b"1"
        site.program.kill()
        wait_for("the last will of the site", lambda: kept("sites/site-ward", centre) == b"0")
    finally:
        herd.end()
        watcher.end()
