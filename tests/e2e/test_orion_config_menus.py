# SPDX-License-Identifier: MPL-2.0
"""orion-config for people: menus at a real terminal, and what they change is in force."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import daemon as daemons
import pytest
from client import PROGRAM
from daemon import Daemon
from terminal import Terminal
from test_cameras import MOTION


@pytest.fixture(scope="module")
def node(plugin_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with daemons.alone(plugin_env, tmp_path_factory.mktemp("menus"), MOTION) as running:
        yield running


@pytest.fixture
def terminal(node: Daemon) -> Iterator[Terminal]:
    node.wait_for_results()
    terminal = Terminal("env", "-u", "ORION_ID", PROGRAM, "--broker", node.broker.uri)
    yield terminal
    terminal.close()


def test_a_person_changes_what_is_in_force(node: Daemon, terminal: Terminal):
    terminal.choose("node_001:", "Rate")
    terminal.choose("Rate:", "Another")
    terminal.shows("Looks a second")
    terminal.type("99")
    terminal.shows("expected 0.1..30 Hz")
    terminal.keys("BSpace", "BSpace")
    terminal.type("8")
    terminal.shows("? Do it?")
    terminal.shows("no interruption")
    terminal.keys("Enter")
    screen = terminal.shows("Measured: longest gap between results")
    assert "Done. node_001: 8 Hz, in force from frame" in screen
    assert "the interval was 0.20 s and is 0.12 s" in screen or "is 0.13 s" in screen, screen
    assert node.state()["inference_rate_hz"] == 8
    terminal.shows("Rate: 8 Hz")

    terminal.choose("node_001:", "Regions")
    terminal.choose("Regions:", "Enter")
    terminal.shows("x,y,width,height")
    terminal.type("0.1,0.2,0.5,0.5")
    terminal.shows("? Do it?")
    terminal.type("y")
    terminal.shows("region 0.1,0.2,0.5,0.5, in force")
    assert node.state()["config"]["rois"]["attention"] == [{"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.5}]

    # Said no, or gone back: nothing changes.
    with node.unchanged():
        terminal.shows("Regions: region 0.1")
        terminal.choose("node_001:", "Pause")
        terminal.shows("presence becomes unknown")
        terminal.type("n")
        terminal.choose("node_001:", "Model")
        terminal.shows("about 3.3 times the work of n")
        terminal.keys("Escape")
        terminal.shows("? node_001:")
    terminal.keys("Escape")
    terminal.shows("code=0")


def test_escape_goes_back_and_control_c_ends(node: Daemon, terminal: Terminal):
    terminal.choose("node_001:", "Status")
    terminal.shows("worker    infer: pid")
    terminal.choose("node_001:", "Restart")
    terminal.shows("? Which worker?")
    terminal.keys("C-c")
    terminal.shows("code=130")


def test_the_table_of_results_stays_in_its_place(node: Daemon):
    terminal = Terminal(PROGRAM, "--broker", node.broker.uri, "watch", "--count", "6")
    screen = terminal.shows("code=0")
    terminal.close()
    assert screen.count("INSTANCE") == 1 and "node_001  motion_detection" in screen, screen


def test_a_broker_that_is_not_there_ends_the_menus(tmp_path: Path):
    terminal = Terminal(PROGRAM, "--broker", "mqtt://127.0.0.1:9")
    screen = terminal.shows("code=3")
    terminal.close()
    assert "Connection refused" in screen


def test_sigterm_leaves_the_terminal_as_it_was(node: Daemon):
    # What the terminal is like afterwards is shown by a shell, which changes nothing about it.
    menu = f"sh -c 'echo pid=$$; exec {PROGRAM} --broker {node.broker.uri}'; echo was=$?; stty -a"
    terminal = Terminal("env", "-u", "ORION_ID", "sh", "-c", menu)
    try:
        screen = terminal.shows("? node_001:")
        os.kill(int(re.findall(r"pid=(\d+)", screen)[0]), signal.SIGTERM)
        screen = terminal.shows("code=0")
        assert "was=143" in screen, screen
        assert re.search(r"[^-]icanon", screen) and re.search(r"[^-]echo ", screen), screen
    finally:
        terminal.close()
