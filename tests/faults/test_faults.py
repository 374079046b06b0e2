# SPDX-License-Identifier: MPL-2.0
"""The short form of the matrix of faults; `make prove` plays all of it."""

import pytest
from run import chosen, play

SHORT = chosen([], short=True)


@pytest.fixture(scope="module")
def outcomes():
    return {outcome.name: outcome for outcome in play(SHORT)}


@pytest.mark.parametrize("name", [one.name for one, _ in SHORT])
def test_fault(outcomes, name):
    outcome = outcomes[name]
    if outcome.missing:
        pytest.skip(outcome.missing)
    assert outcome.passed, "\n".join(outcome.problems)


def test_every_scenario_has_a_name_of_its_own_and_words_for_people():
    every = [one for one, _ in chosen([], short=False)]
    assert len({one.name for one in every}) == len(every) >= 30
    assert all(one.injected and one.within > 0 and one.back > 0 for one in every)
