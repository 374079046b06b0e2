# SPDX-License-Identifier: MPL-2.0
"""The slope that many looks show, and what counts as growth."""

import random

import pytest
import verdict
from slope import trend


def line(slope: float, start: float = 100.0, noise: float = 0.0, points: int = 200, seed: int = 1):
    rng = random.Random(seed)
    return [(10.0 * n, start + slope * 10 * n + rng.gauss(0, noise)) for n in range(points)]


def test_a_straight_line_has_its_slope_and_no_scatter():
    found = trend([line(0.01)])
    assert found.slope == pytest.approx(0.01) and found.scatter == pytest.approx(0, abs=1e-9)
    assert found.growth == pytest.approx(0.01 * 1990) and found.points == 200


def test_noise_hides_no_slope_and_makes_none():
    found = trend([line(0.01, noise=2.0)])
    assert found.low < 0.01 < found.high and found.slope == pytest.approx(0.01, rel=0.2)
    assert found.scatter == pytest.approx(2.0, rel=0.2)
    flat = trend([line(0.0, noise=2.0)])
    assert flat.low < 0 < flat.high


def test_wild_values_do_not_count():
    points = line(0.0, noise=0.1)
    for number in range(0, 200, 5):
        points[number] = (points[number][0], 1000.0)
    assert abs(trend([points]).growth) < 0.2


def test_a_jump_from_one_process_to_the_next_is_no_slope():
    lives = [
        line(0.0, start=start, noise=0.1, points=50, seed=seed) for seed, start in enumerate((90, 120, 150))
    ]
    found = trend(lives)
    assert abs(found.growth) < 0.5 and found.scatter < 0.3


def test_each_of_many_short_lives_grows():
    lives = [line(0.01, start=start, points=30) for start in (90, 120, 80)]
    assert trend(lives).slope == pytest.approx(0.01)


def test_too_few_points_say_nothing():
    assert trend([]) is None and trend([line(1.0, points=5)]) is None
    finding = verdict.grows("x", "MiB", [line(1.0, points=5)], 0, 0.05)
    assert finding.good is None


def test_a_long_life_is_thinned_and_stays_what_it_was():
    found = trend([line(0.001, noise=1.0, points=5000)])
    assert found.slope == pytest.approx(0.001, rel=0.1) and found.points == 5000


@pytest.mark.parametrize(
    ("slope", "noise", "good"),
    [(0.0, 1.0, True), (-0.1, 0.1, True), (0.002, 0.1, True), (0.01, 0.1, False), (0.01, 20.0, True)],
)
def test_growth_is_held_against_level_and_scatter(slope: float, noise: float, good: bool):
    assert verdict.grows("x", "MiB", [line(slope, noise=noise)], 0, 0.05).good is good


def test_what_is_too_short_to_judge_is_told_all_the_same():
    finding = verdict.grows("x", "MiB", [line(0.1)], 0, 0.05, judged=False)
    assert finding.good is None and "slope +360.00 MiB/h" in finding.text


def test_a_descriptor_lost_now_and_then_is_seen():
    leak = [(10.0 * n, 70.0 + n // 36) for n in range(360)]
    steady = [(10.0 * n, 70.0 + (3 if n % 6 == 0 else 0)) for n in range(360)]
    assert verdict.count("x", [leak]).good is False
    assert verdict.count("x", [steady]).good is True
    assert "first 70, last 79, most 79" in verdict.count("x", [leak]).text


def test_one_bad_finding_is_enough():
    findings = [verdict.none("a", [], "fine"), verdict.Finding("b", None, "not judged")]
    assert verdict.passed(findings)
    findings.append(verdict.none("c", ["something"], "fine"))
    assert not verdict.passed(findings)
    assert verdict.summary(findings).splitlines()[2] == "FAIL c  1: something"
