# SPDX-License-Identifier: MPL-2.0
"""What `make install` puts under a prefix works from there, and `make uninstall` takes it away again."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = Path(os.environ.get("ORION_BUILT") or ROOT / "target" / "debug")
VENV = Path(os.environ.get("ORION_WORKER", ROOT / "models" / "run_worker.sh")).parent / ".venv"


def script(action: str, prefix: Path, **env: str) -> subprocess.CompletedProcess:
    where = {"PREFIX": str(prefix), "PLUGIN_DIR": f"{prefix}/lib/gstreamer-1.0", "BUILT": str(BUILT)}
    return subprocess.run(
        ["sh", ROOT / "tools" / "install.sh", action],
        env={**os.environ, **where, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> Path:
    """An installation that the tests of this module share."""
    place = tmp_path_factory.mktemp("installed") / "usr"
    done = script("install", place)
    assert done.returncode == 0, done.stderr
    return place


def run(prefix: Path, *argv: object, **env: str) -> subprocess.CompletedProcess:
    """Runs a program as somebody who has nothing but this installation."""
    mine = ("ORION_", "GST_", "XDG_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    gst = {"GST_PLUGIN_PATH": f"{prefix}/lib/gstreamer-1.0", "GST_REGISTRY": f"{prefix.parent}/registry.bin"}
    return subprocess.run(
        [str(word) for word in argv],
        env={**clean, **gst, "ORION_MODEL_CACHE": "off", **env},
        cwd=prefix.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def look(prefix: Path, **env: str) -> subprocess.CompletedProcess:
    """Has the installed plugin look at three pictures."""
    pictures = "videotestsrc num-buffers=3 ! video/x-raw,width=320,height=240"
    return run(
        prefix,
        "gst-launch-1.0",
        *f"{pictures} ! orionpyinfer name=infer model-size=orion ! fakesink silent=false -v".split(),
        **env,
    )


def test_all_that_the_list_names_is_there_and_nothing_else(prefix):
    listed = (prefix / "share/orion/installed-files").read_text().splitlines()
    assert listed == sorted(set(listed))
    files = {path for path in listed if not path.endswith("/")}
    there = {str(path) for path in prefix.rglob("*") if not path.is_dir() and "__pycache__" not in path.parts}
    assert files == there
    for name in ("bin/orion-launch", "bin/orion-config", "bin/orion-camera", "sbin/orion-worker-setup"):
        assert os.access(prefix / name, os.X_OK), name
    for program in ("orion-launch", "orion-config", "orion-camera"):
        assert f"{prefix}/share/man/man1/{program}.1" in files
        assert f"{prefix}/share/bash-completion/completions/{program}" in files
    sources = {path.relative_to(ROOT / "models") for path in (ROOT / "models/orion_worker").rglob("*.py")}
    installed = prefix / "share/orion/models"
    assert sources == {path.relative_to(installed) for path in (installed / "orion_worker").rglob("*.py")}


def test_units_and_configuration_name_what_is_installed(prefix):
    units = sorted((prefix / "lib/systemd/system").iterdir())
    assert [unit.name for unit in units] == ["orion-launch.service", "orion-launch@.service"]
    for unit in units:
        text = unit.read_text()
        assert "/usr/local" not in text
        named = [Path(path) for path in re.findall(rf"{re.escape(str(prefix))}\S*", text)]
        assert named and all(path.exists() for path in named), named
    for config in ("share/orion/pipelines/orion.yaml", "share/orion/ops/orion.yaml"):
        done = run(prefix, prefix / "bin/orion-launch", "check", "--config", prefix / config)
        assert done.returncode == 0, done.stderr


def test_the_installed_plugin_finds_worker_and_model(prefix):
    done = look(prefix, ORION_VENV=str(VENV))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("chain   ******") >= 3, done.stdout


def test_without_a_python_environment_the_command_that_makes_it_is_named(prefix):
    done = look(prefix)
    assert done.returncode != 0
    assert f"run `sudo {prefix}/sbin/orion-worker-setup`" in done.stderr, done.stderr


def test_setup_checks_and_works_under_its_installed_name(prefix, tmp_path):
    setup = prefix / "sbin/orion-worker-setup"
    done = run(prefix, setup, "--check")
    assert done.returncode == 1
    assert f"there is no environment in {prefix}/share/orion/models/.venv" in done.stderr
    # The environment of the tests was made by another installation.
    done = run(prefix, setup, "--check", ORION_VENV=str(VENV))
    assert done.returncode == 1 and "another lock file" in done.stderr
    for words, told in [
        (("--wheels", tmp_path / "none"), f"--wheels needs a folder, {tmp_path}/none is none"),
        (("--wheels", tmp_path, "--system"), "--system goes with neither --wheels nor --dev"),
        (("--wheel",), "unknown argument --wheel; known are"),
    ]:
        done = run(prefix, setup, *words, ORION_VENV=str(tmp_path / "venv"))
        assert done.returncode == 1 and told in done.stderr
    assert not (tmp_path / "venv").exists()


def test_uninstall_leaves_nothing_of_its_own_and_all_of_others(tmp_path):
    prefix = tmp_path / "usr"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "other").write_text("dear")
    assert script("install", prefix).returncode == 0
    # What an earlier version had brought goes with the next installation.
    (prefix / "share/orion/old").write_text("")
    listed = prefix / "share/orion/installed-files"
    before = [*listed.read_text().splitlines(keepends=True), f"{prefix}/share/orion/old\n"]
    listed.write_text("".join(sorted(before)))
    assert script("install", prefix).returncode == 0
    assert not (prefix / "share/orion/old").exists()
    # As a worker leaves it behind.
    (prefix / "share/orion/models/__pycache__").mkdir()
    done = script("uninstall", prefix)
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == [prefix / "bin" / "other"]
    assert {path.name for path in tmp_path.rglob("*") if path.is_dir()} == {"usr", "bin"}
    done = script("uninstall", prefix)
    assert done.returncode == 1 and "nothing is installed" in done.stderr


def test_what_is_not_built_is_named(tmp_path):
    done = script("install", tmp_path / "usr", BUILT=str(tmp_path))
    assert done.returncode == 1
    assert "orion-launch is missing; run `make build` first" in done.stderr
    assert not (tmp_path / "usr").exists()


def test_destdir_comes_before_all(tmp_path):
    done = script("install", Path("/usr"), DESTDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert (tmp_path / "usr/bin/orion-launch").is_file()
    shutil.rmtree(tmp_path / "usr/share/man")
    assert script("uninstall", Path("/usr"), DESTDIR=str(tmp_path)).returncode == 0
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]


def test_the_package_has_the_version_of_the_programs():
    packaged = re.match(r"orion \((\S+)\)", (ROOT / "debian/changelog").read_text())[1]
    assert f'version = "{packaged}"' in (ROOT / "Cargo.toml").read_text()
