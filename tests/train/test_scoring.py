# SPDX-License-Identifier: MPL-2.0
import math

import numpy as np
import pytest

from orion_train.scoring import Hits, Judged, match, presence

PERSON = [10, 10, 30, 60]
OTHER = [50, 10, 70, 60]
NOTHING = [200, 200, 220, 260]


def judged(found, persons, ignore=()):
    rows = np.array([row for row, _ in found], float).reshape(-1, 4)
    scores = np.array([score for _, score in found], float)
    return Judged(
        rows, scores, np.array(persons, float).reshape(-1, 4), np.array(ignore, float).reshape(-1, 4)
    )


def test_average_precision_of_a_worked_example():
    # Right, wrong, right, of 4 persons: precision 1 up to recall 1/4, then 2/3 up to recall 1/2.
    hits = Hits(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4)
    assert hits.average_precision() == pytest.approx(1 / 4 + 2 / 3 / 4)


def test_a_perfect_detector_has_an_average_precision_of_one():
    hits = match([judged([(PERSON, 0.9), (OTHER, 0.3)], [PERSON, OTHER])])
    assert hits.average_precision() == 1
    assert hits.at(0.5) == (1.0, 0.5)


def test_a_second_box_of_one_person_is_wrong():
    hits = match([judged([(PERSON, 0.9), (PERSON, 0.8)], [PERSON])])
    assert hits.right.tolist() == [True, False]


def test_the_more_confident_box_gets_the_person_whatever_the_order():
    hits = match([judged([(PERSON, 0.6), ([12, 12, 30, 60], 0.9)], [PERSON])])
    assert hits.scores.tolist() == [0.9, 0.6]
    assert hits.right.tolist() == [True, False]


def test_a_box_that_overlaps_by_less_than_half_is_wrong():
    assert match([judged([([10, 10, 30, 30], 0.9)], [PERSON])]).right.tolist() == [False]


def test_a_box_in_an_ignored_region_does_not_count():
    hits = match([judged([(NOTHING, 0.9)], [PERSON], ignore=[[190, 190, 300, 300]])])
    assert len(hits.scores) == 0
    assert hits.average_precision() == 0


def test_of_a_height_only_such_persons_count():
    small = [100, 100, 110, 120]
    hits = match([judged([(PERSON, 0.9), (small, 0.8), (NOTHING, 0.7)], [PERSON, small])], heights=(0, 32))
    assert hits.persons == 1
    assert hits.right.tolist() == [True]


def test_without_persons_or_detections_figures_are_not_numbers():
    hits = match([judged([], [])])
    assert math.isnan(hits.average_precision())
    assert math.isnan(hits.at(0.5)[0])


def test_the_threshold_for_a_precision_is_the_lowest():
    hits = Hits(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), 4)
    assert hits.threshold_for(0.6) == 0.7
    assert hits.threshold_for(0.5) == 0.6
    with pytest.raises(ValueError, match="nowhere"):
        Hits(np.array([0.9]), np.array([False]), 4).threshold_for(0.6)


def test_presence_counts_pictures():
    pictures = [
        judged([(PERSON, 0.9)], [PERSON]),
        judged([(PERSON, 0.4)], [PERSON]),
        judged([(NOTHING, 0.6)], []),
        judged([], []),
        judged([(NOTHING, 0.6)], [], ignore=[NOTHING]),
    ]
    assert presence(pictures, 0.5) == (1, 2, 1, 2)
