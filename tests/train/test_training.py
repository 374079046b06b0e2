# SPDX-License-Identifier: MPL-2.0
"""What needs torch: assignment, losses, network, runs that resume; skipped in the worker's environment."""

import csv
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is in the training environment only (models/train)")

from orion_train import cache, grid, loss  # noqa: E402
from orion_train.assign import assign, inside, pair_iou  # noqa: E402
from orion_train.config import Config  # noqa: E402
from orion_train.network import PersonNet, parameter_count  # noqa: E402
from orion_train.optimiser import optimisers, orthogonal  # noqa: E402
from orion_train.run import CURVE, Run  # noqa: E402
from orion_train.shape import Shape  # noqa: E402

TINY = Shape(stem=4, stages=(4, 4, 8, 8), depths=(1, 1, 1, 1), neck=8, head_depth=1)


def tensors(side):
    return tuple(torch.from_numpy(array) for array in grid.cells(side, side))


def test_the_network_is_as_small_as_promised_and_gives_each_cell_a_score_and_a_box():
    net = PersonNet()
    assert parameter_count(net) <= 1_000_000
    logits, raw = net(torch.zeros(2, 3, 64, 96))
    count = len(grid.cells(96, 64)[0])
    assert logits.shape == (2, count)
    assert raw.shape == (2, count, 4)


def test_both_decoders_agree():
    points, strides = grid.cells(64, 64)
    raw = np.random.default_rng(0).normal(0, 3, (2, len(points), 4)).astype(np.float32)
    ours = loss.decode(*(torch.from_numpy(array) for array in (raw, points, strides)))
    assert ours.numpy() == pytest.approx(grid.decode(raw, points, strides), abs=1e-3)


def test_overlap_of_worked_examples():
    first = torch.tensor([[0.0, 0, 10, 10]])
    second = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    assert pair_iou(first, second).tolist() == pytest.approx([1, 1 / 3, 0])


def test_complete_iou_of_worked_examples():
    box = torch.tensor([[0.0, 0, 10, 10]])
    assert loss.complete_iou(box, box).item() == pytest.approx(1)
    moved = loss.complete_iou(box, torch.tensor([[5.0, 0, 15, 10]])).item()
    assert moved == pytest.approx(1 / 3 - 25 / (15**2 + 10**2))
    narrow = loss.complete_iou(box, torch.tensor([[0.0, 0, 5, 10]])).item()
    shape = 4 / np.pi**2 * (np.arctan(1) - np.arctan(0.5)) ** 2
    assert narrow == pytest.approx(0.5 - 2.5**2 / 200 - shape**2 / (0.5 + shape))


def test_every_person_has_a_cell_however_small():
    points, strides = tensors(64)
    allowed = inside(points, strides, torch.tensor([[8.1, 8.1, 9.0, 9.0], [0.0, 0, 64, 64]]))
    assert allowed[0].any()
    assert allowed[1].all()


def test_a_person_is_given_to_the_best_cells_inside_it():
    points, strides = tensors(64)
    boxes = torch.tensor([[0.0, 0, 32, 32]])
    predicted = boxes[None].expand(1, len(points), 4).contiguous()
    scores = torch.full((1, len(points)), 0.1)
    scores[0, 9] = 0.9
    found = assign(scores, predicted, points, strides, boxes, torch.tensor([0]))
    assert len(found.cells) == 10
    assert (points[found.cells] <= 32).all()
    targets = dict(zip(found.cells.tolist(), found.targets.tolist(), strict=True))
    assert targets[9] == pytest.approx(1)
    assert max(value for cell, value in targets.items() if cell != 9) == pytest.approx(1 / 3)


def test_a_cell_that_two_persons_want_goes_to_the_one_it_overlaps_more():
    points, strides = tensors(32)
    boxes = torch.tensor([[0.0, 0, 32, 32], [0.0, 0, 32, 24]])
    predicted = boxes[1].expand(1, len(points), 4).contiguous()
    scores = torch.full((1, len(points)), 0.5)
    found = assign(scores, predicted, points, strides, boxes, torch.tensor([0, 0]))
    assert len(set(found.cells.tolist())) == len(found.cells)
    upper = points[found.cells][:, 1] < 24
    assert (found.persons[upper] == 1).sum() == 10


def test_persons_of_other_pictures_are_left_alone():
    points, strides = tensors(32)
    boxes = torch.tensor([[0.0, 0, 32, 32]])
    scores = torch.full((3, len(points)), 0.5)
    predicted = boxes[None].expand(3, len(points), 4).contiguous()
    assert set(assign(scores, predicted, points, strides, boxes, torch.tensor([1])).pictures.tolist()) == {1}


def gradient(persons, ignore):
    points, strides = tensors(64)
    logits = torch.zeros(1, len(points), requires_grad=True)
    raw = torch.ones(1, len(points), 4, requires_grad=True)
    packed = [
        (torch.tensor(rows, dtype=torch.float32).reshape(-1, 4), torch.zeros(len(rows), dtype=torch.int64))
        for rows in (persons, ignore)
    ]
    value, _ = loss.total(logits, raw, (points, strides), *packed, 2.5)
    value.backward()
    return points, logits.grad[0], raw.grad[0]


def test_ignored_regions_are_not_punished():
    points, scores, _ = gradient([], [[0, 0, 32, 64]])
    left = points[:, 0] <= 32
    assert not scores[left].any()
    assert (scores[~left] > 0).all()


def test_a_person_in_an_ignored_region_is_still_taught():
    _, scores, sides = gradient([[4, 4, 28, 40]], [[0, 0, 64, 64]])
    assert scores.any()
    assert sides.any()


def test_without_a_person_the_loss_is_finite_and_no_box_is_taught():
    _, scores, sides = gradient([], [])
    assert torch.isfinite(scores).all()
    assert not sides.any()


def test_orthogonal_evens_out_singular_values():
    matrix = torch.from_numpy(np.random.default_rng(1).normal(size=(24, 60)).astype(np.float32))
    for one in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonal(one))
        assert values.min() > 0.5
        assert values.max() < 1.3


def test_every_parameter_has_one_optimiser():
    net = PersonNet(TINY)
    for kind in ("muon", "adamw"):
        held = [
            id(parameter)
            for optimiser in optimisers(net, kind, 0.02, 1e-3, 0.05)
            for group in optimiser.param_groups
            for parameter in group["params"]
        ]
        assert sorted(held) == sorted(map(id, net.parameters()))


def losses(folder):
    with (folder / CURVE).open(newline="") as stream:
        return [(row["step"], row["loss"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def start(small_data, tmp_path_factory):
    pictures = cache.build(small_data, tmp_path_factory.mktemp("cache"))
    config = Config(steps=8, batch=2, warm_up=2, shape=TINY)

    def make(folder, **changes):
        return Run(pictures, replace(config, **changes), folder, torch.device("cpu"), 2, 0)

    return make


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(start, tmp_path):
    whole = start(tmp_path / "whole")
    whole.train(until=6)
    start(tmp_path / "parts").train(until=3)
    second = start(tmp_path / "parts")
    assert second.resume()
    assert second.step == 3
    second.train(until=6)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for mine, theirs in zip(
        second.average.net.state_dict().values(), whole.average.net.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_losses_after_the_last_checkpoint_are_dropped_when_a_killed_run_goes_on(start, tmp_path):
    start(tmp_path).train(until=2)
    with (tmp_path / CURVE).open("a") as stream:
        stream.write("2,1,1,1,64,1,1\n3,1,1")
    again = start(tmp_path)
    again.resume()
    again.train(until=3)
    assert [step for step, _ in losses(tmp_path)] == ["0", "1", "2"]


def test_a_run_directory_of_another_configuration_is_refused(start, tmp_path):
    start(tmp_path).train(until=1)
    with pytest.raises(ValueError, match="another run"):
        start(tmp_path, seed=2).resume()


def test_a_run_can_be_made_shorter_under_way(start, tmp_path):
    start(tmp_path).train(until=3)
    shorter = start(tmp_path, steps=5)
    assert shorter.resume()
    shorter.train()
    assert shorter.step == 5
    again = start(tmp_path, steps=5)
    again.resume()
    assert again.changes == [[3, 8, 5]]


def test_an_exported_network_is_read_by_the_worker(tmp_path):
    from orion_train.export import MAX_BYTES, export
    from orion_train.judging import Detector

    torch.manual_seed(0)
    file = export(PersonNet(TINY), tmp_path, 64, 5.0)
    assert file.name == "orion_person_64.onnx"
    assert file.stat().st_size < MAX_BYTES
    assert len(Detector(file)(np.zeros((48, 64, 3), np.uint8), 0.5).scores) > 0
