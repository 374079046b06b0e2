# SPDX-License-Identifier: MPL-2.0
"""What the end-to-end tests share: the built programs, a broker, a camera, and data kept elsewhere."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import daemon
import pytest
from daemon import Daemon
from mqtt import Broker, Listener
from node import config as node_config
from node import reset
from running import BUILT, ROOT, Program

# Tests leave nothing in the cache of whoever runs them.
os.environ.setdefault("ORION_MODEL_CACHE", "off")

# A shell that runs this in the background has Ctrl-C ignored, which programs under test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def plugin_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which GStreamer finds the plugin that was just built."""
    plugin = BUILT / "libgstorion.so"
    assert plugin.is_file(), f"{plugin} is missing; run cargo build"
    folder = tmp_path_factory.mktemp("plugins")
    (folder / plugin.name).symlink_to(plugin)
    return {
        "GST_PLUGIN_PATH": str(folder),
        "GST_REGISTRY": str(folder / "registry.bin"),
        "GST_DEBUG_NO_COLOR": "1",
    }


@pytest.fixture
def run(plugin_env: dict[str, str]) -> Iterator[Callable[..., Program]]:
    """Starts programs; none outlives its test."""
    started: list[Program] = []

    def start(*argv: object, shell: str | None = None, **env: str) -> Program:
        program = Program([str(word) for word in argv], {**plugin_env, **env}, shell)
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    assert shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists(), (
        "mosquitto is missing; run make setup"
    )
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


@pytest.fixture
def camera(run: Callable[..., Program]) -> Callable[..., str]:
    """Starts a loopback RTSP camera and gives its address."""

    def start(*arguments: object) -> str:
        program = run(BUILT / "orion-camera", *arguments)
        return program.wait_for_line(r"^rtsp://\S+$").group()

    return start


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Models, clips and photos that are not in the repository; their owners' licences stay with them."""
    found = Path(os.environ.get("ORION_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (found / "models").is_dir():
        pytest.skip(f"test data not found in {found}; set ORION_TEST_DATA")
    return found


@pytest.fixture(scope="module")
def shared_node(plugin_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for the tests of a module."""
    folder = tmp_path_factory.mktemp("node")
    with daemon.alone(plugin_env, folder, node_config(folder)) as running:
        yield running


@pytest.fixture
def node(shared_node: Daemon) -> Daemon:
    """The same, with everything as it was at its start."""
    reset(shared_node)
    return shared_node


@pytest.fixture
def start(
    run: Callable[..., Program], broker: Broker, listener: Listener, tmp_path: Path
) -> Callable[..., Daemon]:
    """Starts a daemon of the test's own on the test's broker."""
    return lambda **config: Daemon(run, broker, listener, tmp_path, config)
