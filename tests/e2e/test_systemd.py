# SPDX-License-Identifier: MPL-2.0
"""What systemd is told by sd_notify, and the files for those who run the daemon."""

import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from running import ROOT, wait_for
from test_metrics import CONFIG, get

OPS = ROOT / "ops"


class Manager:
    """Takes what a service says to its manager."""

    def __init__(self, path: Path) -> None:
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while data := self._socket.recv(65536):
            self.said += data.decode().splitlines()

    def count(self, word: str) -> int:
        return sum(said == word for said in self.said)


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return Manager(tmp_path / "notify")


def test_it_is_ready_with_its_first_result_and_alive_while_there_is_progress_or_a_reason(manager, start):
    daemon = start(**CONFIG)
    daemon.wait_for_results(1)
    wait_for("ready", lambda: manager.count("READY=1") == 1)
    fed = manager.count("WATCHDOG=1")
    wait_for("progress", lambda: manager.count("WATCHDOG=1") > fed + 1)
    assert "STATUS=healthy" in manager.said
    # A pause is a reason for no results.
    daemon.done("pause_inference")
    fed = manager.count("WATCHDOG=1")
    wait_for("a reason", lambda: manager.count("WATCHDOG=1") > fed + 1)
    daemon.program.signal(signal.SIGHUP)
    wait_for("reloading", lambda: manager.count("RELOADING=1") == 1 and manager.count("READY=1") == 2)
    assert any(re.fullmatch(r"MONOTONIC_USEC=\d+", said) for said in manager.said)
    daemon.stop()
    wait_for("stopping", lambda: manager.count("STOPPING=1") == 1)


def test_a_worker_that_hangs_is_no_progress(manager, start):
    daemon = start(**CONFIG, watchdog={"min_timeout_s": 8})
    daemon.wait_for_results(1)
    wait_for("ready", lambda: manager.count("READY=1") == 1)
    for pid in daemon.below():
        subprocess.run(["kill", "-STOP", str(pid)], check=True)
    said = len(manager.said)

    # Until the worker is found out; one more look may have seen the last result.
    daemon.wait_for_event("worker_lost")
    assert manager.said[said:].count("WATCHDOG=1") <= 4, "it would be eight"


def test_alerts_and_dashboard_name_metrics_that_exist(start):
    daemon = start(**CONFIG)
    daemon.wait_for_results(1)
    text = get(daemon, "/metrics")[1]
    known = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    known |= {f"{name}{end}" for name in known for end in ("_bucket", "_sum", "_count")}
    # Nothing has died, dropped or gone away yet.
    known |= {"orion_frames_dropped_total"}
    for file in ("prometheus-rules.yaml", "grafana-dashboard.json"):
        named = set(re.findall(r"\borion_[a-z_]+\b", (OPS / file).read_text()))
        assert named and named <= known, named - known
    daemon.stop()


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_accepts_the_rules():
    subprocess.run(["promtool", "test", "rules", "prometheus-rules.test.yaml"], cwd=OPS, check=True)


UNITS = ["orion-launch.service", "orion-launch@.service"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_units_and_what_they_may_do(tmp_path, name):
    unit = tmp_path / name
    unit.write_text((OPS / name).read_text().replace("/usr/local/bin/orion-launch", "/bin/true"))
    for verb in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=20", "--no-pager"]):
        found = subprocess.run(
            ["systemd-analyze", *verb, unit], capture_output=True, text=True, check=False, timeout=30
        )
        assert found.returncode == 0 and not found.stderr, found.stdout + found.stderr


def test_the_units_differ_in_what_is_the_instances_own_only():
    one, each = ((OPS / name).read_text() for name in UNITS)
    for mine in ("/etc/orion/%i.yaml", "StateDirectory=orion/%i\n", "%S/orion/%i\n", "Orion %i:"):
        assert mine in each
        each = each.replace(
            mine, mine.replace("/%i.yaml", "/orion.yaml").replace("/%i", "").replace(" %i", "")
        )
    assert each.replace(each[each.index("# An instance") : each.index("[Unit]")], "") == one
