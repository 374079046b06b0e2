# SPDX-License-Identifier: MPL-2.0
"""What is planned to go wrong."""

from itertools import pairwise

from plan import plan

KINDS = [f"kind {number}" for number in range(18)]
CAMERAS = ["a", "b"]


def test_a_seed_gives_the_same_plan_again():
    one, two, other = (plan(seed, 3600, 60, KINDS, CAMERAS) for seed in (7, 7, 8))
    assert [vars(strike) | {"rng": None} for strike in one] == [
        vars(strike) | {"rng": None} for strike in two
    ]
    assert [strike.at_s for strike in one] != [strike.at_s for strike in other]
    assert one[0].rng.random() == two[0].rng.random()


def test_an_hour_has_about_one_a_minute_of_every_kind_to_every_camera():
    strikes = plan(1, 3600, 60, KINDS, CAMERAS)
    assert 50 <= len(strikes) <= 65
    assert {strike.kind for strike in strikes} == set(KINDS)
    assert {strike.camera for strike in strikes} == set(CAMERAS)
    assert all(30 <= two.at_s - one.at_s <= 90 for one, two in pairwise(strikes))
    assert strikes[0].at_s >= 30 and strikes[-1].at_s <= 3540


def test_a_short_run_has_its_quiet_times_too():
    strikes = plan(1, 180, 10, KINDS, CAMERAS)
    assert strikes[0].at_s >= 18 and strikes[-1].at_s <= 144
