# SPDX-License-Identifier: MPL-2.0
"""A folder of models that differ in their size's letter and in how sure they are of one person."""

import sys
from pathlib import Path

from running import ROOT

sys.path.append(str(ROOT / "tests" / "worker"))

from tiny_models import constant, yolo_columns

SCORES = {"n": 0.9, "s": 0.8, "m": 0.7}
"""The confidence of the one detection in every picture, by size. The others (l, x) have no file."""


def make(folder: Path) -> Path:
    """Writes the models; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for size, score in SCORES.items():
        # In the middle of what is looked at, a quarter as wide and as high.
        columns = yolo_columns([[32, 32, 16, 16, score]], 84)
        constant(folder / f"yolo11{size}_fp32_640.onnx", columns, 64)
    return folder
