# SPDX-License-Identifier: MPL-2.0
"""What `pip install ./models` promises: dependencies, packages, entry points; and the locks cover it."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from worker_process import MODELS, PATIENCE_S

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROJECT = tomllib.loads((MODELS / "pyproject.toml").read_text())["project"]
SOURCES = sorted((MODELS / "orion_worker").rglob("*.py"))


def requirements(*extras: str) -> list[Requirement]:
    chosen = [PROJECT["optional-dependencies"][extra] for extra in extras]
    return [Requirement(text) for group in (PROJECT["dependencies"], *chosen) for text in group]


def pins(lock: str) -> dict[str, set[str]]:
    """Versions by package; there are several where the lock differs by Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", (MODELS / lock).read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ("person",)),
        ("requirements-dev.lock", ("person", "quantize", "test", "lint", "soak")),
    ],
)
def test_the_locks_pin_what_the_package_asks_for(lock, extras):
    pinned = pins(lock)
    for requirement in requirements(*extras):
        if requirement.name == "orion-worker":
            continue  # the extra that names the package itself
        versions = pinned[requirement.name]
        assert versions and all(requirement.specifier.contains(version) for version in versions), requirement


def test_a_worker_of_ones_own_needs_three_packages():
    assert {requirement.name for requirement in requirements()} == {
        "msgspec",
        "numpy",
        "opencv-python-headless",
    }
    assert [
        requirement.name for requirement in map(Requirement, PROJECT["optional-dependencies"]["person"])
    ] == ["onnxruntime"]


def test_only_those_packages_are_imported_and_the_optional_ones_in_one_place_each():
    others = {path: imported(path) - set(sys.stdlib_module_names) - {"orion_worker"} for path in SOURCES}
    assert set().union(*others.values()) == {"msgspec", "numpy", "cv2", "onnxruntime", "onnx"}
    assert [path.name for path, names in others.items() if "onnxruntime" in names] == [
        "graph.py",  # of the tool that makes INT8 models
        "session.py",
    ]
    assert [path.name for path, names in others.items() if "onnx" in names] == ["graph.py"]


def test_pythons_from_3_10_on_may_install_it():
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(8, 15) if f"3.{minor}.0" in supported] == [10, 11, 12, 13, 14]


def test_every_folder_with_code_is_a_package():
    # setuptools finds packages by this file; without it a folder is left out of the wheel.
    folders = {path.parent for path in SOURCES}
    assert {folder.name for folder in folders} == {"orion_worker", "conformance", "quantize"}
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_the_console_script_exists():
    module, _, function = PROJECT["scripts"]["orion-worker"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_everything_public_is_documented_and_there():
    import orion_worker

    for name in orion_worker.__all__:
        assert getattr(orion_worker, name).__doc__, name


def test_the_package_runs_as_a_module(start):
    worker = start("--version", program=(sys.executable, "-m", "orion_worker"))
    assert worker.read_to_end() == b"python -m orion_worker 0.1.0\n"
    assert worker.wait() == 0
    worker = start("--help", program=(sys.executable, "-m", "orion_worker"))
    text = worker.read_to_end().decode()
    assert "usage: python -m orion_worker" in text and "python -m orion_worker check --help" in text


def test_without_onnx_the_tool_that_needs_it_says_so(tmp_path):
    (tmp_path / "onnx.py").write_text("raise ImportError(\"No module named 'onnx'\")\n")
    command = [sys.executable, "-m", "orion_worker", "quantize", "m.onnx", "--images", str(tmp_path)]
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{MODELS}"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 78
    assert done.stderr == "[ERROR] No module named 'onnx'; run `pip install 'orion-worker[quantize]'`\n"


def test_without_onnxruntime_the_remedy_is_said_and_motion_works(start, tmp_path):
    # Stands before the real one on the path and is as good as none.
    (tmp_path / "onnxruntime.py").write_text("raise ImportError(\"No module named 'onnxruntime'\")\n")
    path = f"{tmp_path}:{MODELS}"
    worker = start(PYTHONPATH=path)
    assert worker.wait() == 78
    assert "No module named 'onnxruntime'" in worker.stderr()
    assert "pip install 'orion-worker[person]'" in worker.stderr()
    worker = start("--detector", "motion", PYTHONPATH=path)
    assert worker.ready()["worker"] == "motion_detector"
    assert worker.finish() == 0
