# SPDX-License-Identifier: MPL-2.0
import numpy as np
import pytest

from orion_train import batches, cache, heldout
from orion_train.config import Config


@pytest.fixture(scope="module")
def pictures(small_data, tmp_path_factory):
    return cache.build(small_data, tmp_path_factory.mktemp("cache"))


def test_the_cache_holds_the_decoded_pictures_without_the_held_out_ones(pictures):
    assert {entry.source for entry in pictures.pictures} == {"voc", "cctvpos", "rooms"}
    for number, entry in enumerate(pictures.pictures):
        pixels = pictures.pixels(number)
        assert pixels.shape == (120, 160, 3)
        assert pixels.any() == (entry.origin != "none")
        assert [entry.boxes.round(1).tolist()] == [[[60, 40, 90, 100]] if len(entry.boxes) else []]


def test_a_second_build_uses_the_first(pictures, small_data):
    before = (pictures.directory / "pixels.bin").stat().st_mtime_ns
    cache.build(small_data, pictures.directory)
    assert (pictures.directory / "pixels.bin").stat().st_mtime_ns == before


def test_missing_archives_are_reported(small_data, tmp_path):
    (tmp_path / "labels.json").write_bytes((small_data / "labels.json").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"images_\*\.tar"):
        cache.build(tmp_path, tmp_path / "cache")


def test_held_out_pictures_become_photos_to_judge_with(small_data, tmp_path):
    import json

    folder = heldout.build(small_data, tmp_path, None)
    truth = json.loads((folder / "persons.json").read_text())
    assert list(truth) == ["coco128train_00008.jpg"]
    assert np.round(truth["coco128train_00008.jpg"]["persons_xyxy"], 3).tolist() == [[60, 40, 90, 100]]
    assert heldout.read(folder / "images" / "coco128train_00008.jpg").shape == (120, 160, 3)


def test_photos_that_judge_are_not_among_them(small_data, tmp_path):
    judge = tmp_path / "persons.json"
    judge.write_text('{"8.jpg": {}}')
    assert not list((heldout.build(small_data, tmp_path / "out", judge) / "images").iterdir())


def test_a_batch_depends_on_seed_and_step_alone(pictures):
    config = Config(steps=50, batch=3)
    first = batches.Batches(pictures, config)[7]
    again = batches.Batches(pictures, config)[7]
    assert (first.images == again.images).all()
    assert (first.boxes == again.boxes).all()
    other = batches.Batches(pictures, config)[8]
    assert first.images.shape != other.images.shape or (first.images != other.images).any()


def test_every_box_belongs_to_a_picture_and_lies_in_it(pictures):
    source = batches.Batches(pictures, Config(steps=40, batch=4))
    for step in range(0, 40, 5):
        batch = source[step]
        side = batch.images.shape[1]
        assert batch.images.shape == (4, side, side, 3)
        assert len(batch.owners) == len(batch.boxes)
        assert len(batch.ignore_owners) == len(batch.ignore)
        assert (batch.boxes >= 0).all()
        assert (batch.boxes <= side).all()
        assert set(batch.owners) <= set(range(4))


def test_boxes_lie_where_the_persons_are(pictures, monkeypatch):
    monkeypatch.setattr(batches, "distort", lambda rng, image: image)
    source = batches.Batches(pictures, Config(steps=40, batch=4))
    seen = 0
    for step in range(0, 40, 3):
        batch = source[step]
        for box, owner in zip(batch.boxes, batch.owners, strict=True):
            left, top, right, bottom = np.round(box).astype(int)
            part = batch.images[owner, top + 1 : bottom - 1, left + 1 : right - 1]
            if part.size:
                assert (part[..., 0] > 150).mean() > 0.9
                assert (part[..., 1:] < 100).mean() > 0.9
                seen += 1
    assert seen > 20


def test_without_the_teacher_its_pictures_are_never_drawn(pictures):
    weights = batches.draw_weights(pictures.pictures, without_teacher=True)
    teacher = np.array([entry.origin == "teacher" for entry in pictures.pictures])
    assert weights[teacher].sum() == 0
    assert weights.sum() == pytest.approx(1)
    assert batches.draw_weights(pictures.pictures, without_teacher=False)[teacher].all()
