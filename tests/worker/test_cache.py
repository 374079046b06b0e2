# SPDX-License-Identifier: MPL-2.0
"""Optimised models are kept, and whatever happens to them, the right model runs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_models import constant, red_finder_yolo, yolo_columns
from worker_process import MODELS, PATIENCE_S, frame_message

from orion_worker import cache
from orion_worker.cache import ModelCache
from orion_worker.session import Session

BLANK = np.zeros((1, 3, 64, 64), np.float32)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def answer(file: Path) -> tuple[str, float]:
    """What became of the cache, and the score that the model gives."""
    session = Session.open(file, "cpu", 1, 640)
    return session.cache, float(session.bind(BLANK)()[0, 4, 0])


def model(file: Path, score: float) -> Path:
    return constant(file, yolo_columns([[32, 32, 16, 16, score]], 84), 64)


def only_entry(place: Path) -> Path:
    (entry,) = place.iterdir()
    return entry


def test_the_second_start_uses_what_the_first_made(tmp_path, place):
    file = model(tmp_path / "m.onnx", 0.75)
    assert answer(file) == ("made", 0.75)
    assert only_entry(place).stat().st_mode & 0o077 == 0 or place.stat().st_mode & 0o077 == 0
    assert answer(file) == ("used", 0.75)
    # The name is not what counts.
    assert answer(file.rename(tmp_path / "other.onnx")) == ("used", 0.75)


def test_another_model_under_the_same_name_is_another_entry(tmp_path, place):
    assert answer(model(tmp_path / "m.onnx", 0.75)) == ("made", 0.75)
    before = (tmp_path / "m.onnx").stat()
    model(tmp_path / "m.onnx", 0.5)
    os.utime(tmp_path / "m.onnx", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert answer(tmp_path / "m.onnx") == ("made", 0.5)
    assert len(list(place.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "of another"])
def test_a_damaged_entry_is_made_anew_with_a_warning(tmp_path, place, caplog, damage):
    file = model(tmp_path / "m.onnx", 0.75)
    answer(file)
    entry = only_entry(place)
    whole = entry.read_bytes()
    if damage == "cut":
        entry.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        entry.write_bytes(whole[:99] + bytes([whole[99] ^ 1]) + whole[100:])
    elif damage == "empty":
        entry.write_bytes(b"")
    else:
        # Whole in itself, but nothing that ONNX Runtime can load.
        ModelCache(place).store(entry.name.partition(".")[0], lambda path: path.write_bytes(b"text"))
    assert answer(file) == ("made", 0.75)
    assert "is made anew" in caplog.text
    assert answer(file) == ("used", 0.75)


def test_a_folder_that_cannot_be_written_to_is_fine(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file" / "cache"))
    assert answer(model(tmp_path / "m.onnx", 0.75)) == ("off", 0.75)


def test_a_folder_that_everybody_may_write_to_is_not_trusted(tmp_path, place, caplog):
    file = model(tmp_path / "m.onnx", 0.75)
    answer(file)
    place.chmod(0o777)
    assert answer(file) == ("off", 0.75)
    assert "everybody may write to it" in caplog.text


def test_a_model_with_weights_in_another_file_is_not_kept(tmp_path, place):
    file = model(tmp_path / "m.onnx", 0.75)
    whole = onnx.load(str(file))
    onnx.save(whole, str(file), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    assert answer(file) == ("off", 0.75)
    assert not place.exists()


def test_a_file_that_is_no_model_leaves_nothing_behind(tmp_path, place):
    (tmp_path / "bad.onnx").write_text("no model")
    with pytest.raises(Exception, match="cannot load model"):
        Session.open(tmp_path / "bad.onnx", "cpu", 1, 640)
    assert list(place.iterdir()) == []


def test_the_key_changes_with_all_that_the_optimised_model_depends_on(monkeypatch):
    keys = {ModelCache.key("aa", "1", "cpu"), ModelCache.key("ab", "1", "cpu")}
    keys |= {ModelCache.key("aa", "2", "cpu"), ModelCache.key("aa", "1", "cuda")}
    monkeypatch.setattr(cache, "processor", lambda: "another")
    keys.add(ModelCache.key("aa", "1", "cpu"))
    assert len(keys) == 5


def test_the_least_used_entries_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MAX_BYTES", 300)
    kept = ModelCache(tmp_path)
    for number in range(4):
        assert kept.store(f"k{number}", lambda path: path.write_bytes(b"x" * 100))
        os.utime(tmp_path / f"k{number}.orion-model", (number, number))
    # 132 bytes each, so two fit; a new one is the youngest.
    names = sorted(file.name for file in tmp_path.iterdir())
    assert len(names) == 2 and "k3.orion-model" in names


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ORION_MODEL_CACHE": "off", "HOME": "/home/a"}, None),
        ({"ORION_MODEL_CACHE": "/x", "HOME": "/home/a"}, "/x"),
        ({"CACHE_DIRECTORY": "/var/cache/orion:/b", "HOME": "/home/a"}, "/var/cache/orion/models"),
        ({"XDG_CACHE_HOME": "/c", "HOME": "/home/a"}, "/c/orion/models"),
        ({"HOME": "/home/a"}, "/home/a/.cache/orion/models"),
        ({"HOME": "/"}, None),
        ({}, None),
    ],
)
def test_where_models_are_kept(environment, expected):
    assert cache.folder(environment) == (Path(expected) if expected else None)


OPEN = """
import sys
from pathlib import Path
from orion_worker.session import Session
print(Session.open(Path(sys.argv[1]), "cpu", 1, 640).cache)
"""


def test_several_workers_may_start_at_once(tmp_path, place):
    file = red_finder_yolo(tmp_path / "m.onnx", 320)
    command = [sys.executable, "-c", OPEN, str(file)]
    env = os.environ | {"PYTHONPATH": str(MODELS)}
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=PATIENCE_S)[0].strip() for process in running]
    assert set(said) <= {"made", "used"} and "made" in said
    assert Session.open(file, "cpu", 1, 640).cache == "used"
    only_entry(place)


def test_a_worker_says_what_became_of_the_cache_and_finds_the_same(tmp_path, start):
    file = red_finder_yolo(tmp_path / "m.onnx", 320)
    image = np.full((240, 320, 3), 60, np.uint8)
    image[100:150, 120:200] = (20, 20, 230)
    found = []
    for expected in ("made", "used"):
        worker = start("--model", file, ORION_MODEL_CACHE=str(tmp_path / "cache"))
        worker.ready()
        told = worker.ask({"type": "command", "id": "1", "command": "describe"})["data"]
        assert told["model_cache"] == {"640": expected}
        found.append(worker.ask(frame_message(image))["data"]["detections"])
        assert worker.finish() == 0
    assert found[0] == found[1] and len(found[0]) == 1
