# SPDX-License-Identifier: MPL-2.0
"""Runs one target of `bodies.py` in libFuzzer: `fuzz.py TARGET [libFuzzer's own arguments]`."""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models"))

with atheris.instrument_imports(include=["orion_worker"]):
    import bodies

# libFuzzer takes the program's name first.
atheris.Setup(sys.argv[:1] + sys.argv[2:], bodies.TARGETS[sys.argv[1]])
atheris.Fuzz()
