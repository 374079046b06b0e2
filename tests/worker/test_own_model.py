# SPDX-License-Identifier: MPL-2.0
"""The model that comes with Orion is found by name, and is the default where nothing is named."""

import shutil
from pathlib import Path

import pytest
from drawn_person import picture
from test_photos import CONFIDENCE, IOU, Reference, found, iou
from worker_process import frame_message

from orion_worker import models
from orion_worker.errors import ModelError
from orion_worker.options import parse


@pytest.fixture(autouse=True)
def no_folder_named(monkeypatch):
    monkeypatch.delenv("ORION_MODEL_DIR", raising=False)


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ([], "orion"),
        (["--model-size", "s"], "s"),
        (["--model-dir", "/m"], "n"),
        (["--model-dir", "/m", "--model-size", "orion"], "orion"),
    ],
)
def test_it_is_the_default_where_no_folder_is_named(arguments, size):
    assert parse(arguments, Path("/weights")).model_size == size


def test_a_folder_named_by_the_environment_counts_as_well(monkeypatch):
    monkeypatch.setenv("ORION_MODEL_DIR", "/of-the-environment")
    options = parse([], Path("/weights"))
    assert (options.model_size, options.model_dir) == ("n", Path("/of-the-environment"))


def test_it_comes_with_the_worker(tmp_path):
    files = models.find(tmp_path / "nowhere", "orion")
    assert (files.size, files.file_640.parent, files.file_640.is_file()) == ("orion", models.SHIPPED[0], True)
    assert files.file_320.name == "orion_person_320.onnx"
    assert models.size_of(files.file_640.name) == "orion"


def test_one_in_the_folder_goes_before_it(tmp_path):
    shutil.copy(models.SHIPPED[0] / "orion_person_640.onnx", tmp_path)
    files = models.find(tmp_path, "orion")
    assert (files.file_640.parent, files.file_320) == (tmp_path, None)


def test_an_installation_without_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "SHIPPED", (tmp_path / "share",))
    with pytest.raises(ModelError, match=f"in none of {tmp_path}, {tmp_path}/share; install Orion again"):
        models.find(tmp_path, "orion")


def test_a_worker_without_any_option_loads_it(start):
    worker = start()
    ready = worker.receive()
    assert (ready["type"], ready["models"]["size"]) == ("ready", "orion")
    assert ready["models"]["file_640"] == "orion_person_640.onnx"


@pytest.mark.parametrize("side", [320, 640])
def test_a_drawn_person_is_found_where_an_independent_decoder_sees_it(start, side):
    file = models.SHIPPED[0] / f"orion_person_{side}.onnx"
    worker = start("--model", file, "--confidence", CONFIDENCE, "--iou-threshold", IOU)
    worker.ready()
    reference = Reference(file, "yolo")
    for seq, (tall, foot) in enumerate([(300, (200, 440)), (200, (420, 420))]):
        image = picture(640, 480, tall, foot)
        ours, theirs = found(worker.ask(frame_message(image, seq))), reference(image)
        assert len(ours) == len(theirs) == 1
        assert ours[0][0] >= 0.5, "the default threshold"
        assert ours[0][0] == pytest.approx(theirs[0][0], abs=0.02)
        assert iou(ours[0][1], theirs[0][1]) >= 0.95
        assert iou(ours[0][1], [foot[0] - tall / 7, foot[1] - tall, foot[0] + tall / 7, foot[1]]) >= 0.6
