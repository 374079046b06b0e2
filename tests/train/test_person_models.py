# SPDX-License-Identifier: MPL-2.0
"""The detector that comes with Orion: its files, and how good it is."""

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from orion_train.judging import Detector, judge_photos, presence_in
from orion_train.scoring import match

ROOT = Path(__file__).resolve().parents[2]
CELLS = {320: 2100, 640: 8400}


def model(side):
    return ROOT / "models" / f"orion_person_{side}.onnx"


@pytest.fixture(scope="module")
def data():
    """Photos and films that are not in the repository; their owners' licences stay with them."""
    found = Path(os.environ.get("ORION_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (found / "photos" / "persons.json").is_file():
        pytest.skip(f"test data not found in {found}; set ORION_TEST_DATA")
    return found


@pytest.mark.parametrize("side", CELLS)
def test_the_files_are_small_and_shaped_as_the_worker_reads_them(side):
    assert model(side).stat().st_size <= 2_000_000
    session = ort.InferenceSession(str(model(side)), providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert (given.type, given.shape) == ("tensor(float)", [1, 3, side, side])
    assert (result.type, result.shape) == ("tensor(float)", [1, 5, CELLS[side]])
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["licence"] == "MPL-2.0"
    assert facts["names"] == "{0: 'person'}"


@pytest.mark.parametrize("side", CELLS)
def test_nobody_is_seen_in_an_empty_picture(side):
    grey = np.full((240, 320, 3), 114, np.uint8)
    assert len(Detector(model(side))(grey, 0.5).scores) == 0


@pytest.mark.parametrize(("side", "score"), [(320, 0.35), (640, 0.3)])
def test_people_in_photos_that_were_never_trained_on_are_found(data, side, score):
    hits = match(judge_photos(Detector(model(side)), data / "photos"))
    assert hits.average_precision() >= score
    assert hits.at(0.5)[0] >= 0.7


@pytest.mark.parametrize("side", CELLS)
def test_passing_cars_are_not_taken_for_people(data, side):
    (found,) = presence_in([Detector(model(side))], data / "clips" / "car-detection.mp4", 0.5, every=5)
    assert found.mean() <= 0.02
