# SPDX-License-Identifier: MPL-2.0
"""What `make fuzz` asks of the worker for any input, asked for the inputs that are kept."""

import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[2] / "fuzz" / "python"
sys.path.insert(0, str(FUZZ))

import bodies  # noqa: E402  (it needs the path above)


@pytest.mark.parametrize("target", bodies.TARGETS)
def test_the_inputs_that_are_kept_get_one_answer_each(target):
    files = sorted((FUZZ / "corpus" / target).iterdir())
    assert len(files) >= 3
    for file in files:
        try:
            bodies.TARGETS[target](file.read_bytes())
        except Exception as error:
            raise AssertionError(f"{file} breaks a rule of {target}") from error
