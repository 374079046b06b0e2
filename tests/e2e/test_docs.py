# SPDX-License-Identifier: MPL-2.0
"""Runs the commands that the documentation shows, as they stand there, where all is as they expect it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs_runs import FILES, RUNS, Run
from mqtt import Broker, Listener
from readme import command
from running import BUILT, ROOT, Program, wait_for

WARD: dict[str, Any] = {
    "instance_id": "ward",
    "stream": {"warmup_duration_s": 0, "resolution": "320p", "fps": 20},
    "models": {"person_detector": {"detector": "motion", "max_inference_rate_hz": 10}},
    "cameras": [{"instance_id": name} for name in ("orion", "ward-1", "node_001")],
}


class World:
    """A folder with what the commands name, and what runs beside them."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self._programs: list[Program] = []
        self.broker = Broker(folder)
        self.broker.start()
        self.camera = self.start([BUILT / "orion-camera", "--pattern", "walk"]).wait_for_line(
            r"^rtsp://\S+$"
        )[0]
        self.page = "127.0.0.1:0"
        home = folder / "home"
        (home / ".config").mkdir(parents=True)
        for client in ("mosquitto_pub", "mosquitto_sub"):
            (home / ".config" / client).write_text(f"-p {self.broker.port}\n")
        for name, target in {
            "models": ROOT / "models",
            "pipelines": ROOT / "pipelines",
            "venv": Path(sys.prefix),
            "target/release": BUILT,
            "target/plugins": Path(env["GST_PLUGIN_PATH"]),
        }.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(target)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORION_")}
        known = ("ORION_WORKER", "ORION_VENV", "ORION_MODEL_CACHE")
        self.env = {
            **kept,
            **{name: os.environ[name] for name in known if name in os.environ},
            **env,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "PATH": f"{BUILT}:{os.environ['PATH']}:/usr/sbin",
            "PYTHONPATH": str(ROOT / "models"),
            "RTSP_URL": self.camera,
            "MQTT_URI": self.broker.uri,
            "ORION_BROKER": self.broker.uri,
            "ORION_ID": "orion",
            "ORION_HTTP__BIND": "127.0.0.1:0",
            "ORION_STREAM__WARMUP_DURATION_S": "0",
        }
        for name, file in FILES.items():
            (folder / file).write_text(self.here(command(name)))

    def here(self, text: str) -> str:
        """A text with the addresses and folders of this world instead of those that are usual."""
        for usual, here in {
            "rtsp://127.0.0.1:8554/camera": self.camera,
            "rtsp://camera/stream": self.camera,
            "mqtt://127.0.0.1:1883": self.broker.uri,
            "mqtt://localhost": self.broker.uri,
            "127.0.0.1:8080": self.page,
            "0.0.0.0:8080": "0.0.0.0:0",
            "/etc/orion/": f"{self.folder}/",
        }.items():
            text = text.replace(usual, here)
        return text

    def start(self, argv: list[object], env: dict[str, str] | None = None) -> Program:
        program = Program([str(word) for word in argv], env)
        self._programs.append(program)
        return program

    def ward(self) -> None:
        """Starts a daemon with three cameras."""
        file = self.folder / "ward.yaml"
        file.write_text(
            json.dumps({**WARD, "mqtt": {"uri": self.broker.uri}, "http": {"bind": "127.0.0.1:0"}})
        )
        env = {name: value for name, value in self.env.items() if name != "ORION_ID"}
        daemon = self.start([BUILT / "orion-launch", "--config", file, "--log-format", "text"], env)
        self.page = daemon.wait_for_line(r"live page: http://([^/]+)/")[1]

    def clip(self) -> None:
        """Makes a short recording."""
        picture = "videotestsrc num-buffers=20 pattern=ball ! video/x-raw,width=320,height=240,framerate=10/1"
        text = f"gst-launch-1.0 -q {picture} ! x264enc ! mp4mux ! filesink location=clip.mp4"
        subprocess.run(text, shell=True, cwd=self.folder, check=True, timeout=30)

    def again(self) -> None:
        """Undoes what commands have changed."""
        for change in ("resume", "set-rate 10", "clear-roi", "auto-focus off"):
            words = [BUILT / "orion-config", "--id", "all", *change.split()]
            subprocess.run(words, env=self.env, capture_output=True, timeout=30, check=False)

    def end(self) -> None:
        for program in self._programs:
            program.kill()
        self.broker.stop()


@pytest.fixture(scope="module")
def worlds(
    plugin_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[bool, World]]:
    """One with a daemon at its broker, and one where only the command under test speaks."""
    assert shutil.which("curl"), "curl is missing; run make setup"
    worlds: dict[bool, World] = {}
    try:
        for ward in (False, True):
            worlds[ward] = World(tmp_path_factory.mktemp("docs"), plugin_env)
        worlds[True].ward()
        worlds[False].clip()
        yield worlds
    finally:
        for world in worlds.values():
            world.end()


@pytest.mark.parametrize("name", RUNS)
def test_it_does_what_the_page_says(name: str, worlds: dict[bool, World]):
    run = RUNS[name]
    world = worlds[run.ward]
    heard = Listener(world.broker.port)
    program = world.start(["bash", "-e", "-c", f"cd {world.folder}\n{world.here(command(name))}"], world.env)
    try:
        shown(run, program, heard)
        if run.ends:
            assert program.wait(60) == 0, program.output
        for file in run.makes:
            assert (world.folder / file).stat().st_size > 0, (file, program.output)
    finally:
        os.killpg(program.pid, signal.SIGINT) if program.is_running() else None
        program.kill()
        heard.close()
    if run.ward:
        world.again()


def shown(run: Run, program: Program, heard: Listener) -> None:
    """Waits until the program has shown what it should."""
    if run.heard:
        fits = lambda: any(re.search(run.heard, topic) for topic, _ in heard.messages)  # noqa: E731
        failed = lambda: not program.is_running() and program.wait() != 0  # noqa: E731
        wait_for(f"a message on {run.heard}", lambda: fits() or failed())
        assert fits(), program.output
    if run.shows:
        program.wait_for_line(run.shows)
