# SPDX-License-Identifier: MPL-2.0
import pytest

from orion_train.phases import FINAL, PHASES, generator, phase_of, rate_factor, side_of


def test_the_rate_warms_up_and_falls_to_its_end():
    rates = [rate_factor(step, 1000, 100) for step in range(1000)]
    assert rates[0] == 0.01
    assert rates[99] == rates[100] == 1
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(FINAL, abs=1e-4)


def test_the_phases_cover_the_run_and_mosaics_grow_rarer():
    assert [phase.until for phase in PHASES] == sorted(phase.until for phase in PHASES)
    assert PHASES[-1].until == 1
    mosaics = [phase.mosaic for phase in PHASES]
    assert mosaics == sorted(mosaics, reverse=True)
    assert phase_of(0.999) == phase_of(1.0) == PHASES[-1]


def test_every_side_is_one_that_the_network_takes():
    assert all(side % 32 == 0 for phase in PHASES for side in phase.sides)


def test_chance_depends_on_seed_step_and_slot_alone():
    first = generator(1, 2, 3).random(4).tolist()
    assert generator(1, 2, 3).random(4).tolist() == first
    others = [generator(*key).random(4).tolist() for key in ((2, 2, 3), (1, 3, 3), (1, 2, 4))]
    assert first not in others


def test_sides_of_a_run_are_repeatable_and_differ():
    sides = [side_of(1, step, 1000) for step in range(100)]
    assert sides == [side_of(1, step, 1000) for step in range(100)]
    assert len(set(sides)) > 1
