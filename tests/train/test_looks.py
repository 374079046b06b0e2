# SPDX-License-Identifier: MPL-2.0
import numpy as np
import pytest

from orion_train.looks import colour_matrix, distort, gamma_table


@pytest.mark.parametrize("seed", range(40))
def test_a_distorted_picture_has_the_same_size_and_kind(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (96, 128, 3), np.uint8)
    changed = distort(rng, image)
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8


def test_the_same_chance_gives_the_same_picture():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    pairs = [[distort(np.random.default_rng(seed), image) for _ in range(2)] for seed in range(20)]
    assert all((first == second).all() for first, second in pairs)


def test_grey_stays_nearly_grey_whatever_the_colour_matrix():
    rng = np.random.default_rng(3)
    for _ in range(50):
        values = colour_matrix(rng) @ np.array([128, 128, 128, 1])
        assert values.max() - values.min() < 80


def test_gamma_keeps_black_and_white():
    for gamma in (0.5, 1.0, 2.0):
        table = gamma_table(gamma)
        assert table[0] == 0
        assert table[255] == 255
    assert gamma_table(1.0).tolist() == list(range(256))
