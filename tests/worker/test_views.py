# SPDX-License-Identifier: MPL-2.0
"""Crop and letterbox agree with the Rust side: both read `fixtures/views.json`.

`python tests/worker/test_views.py` writes the file anew.
"""

import json
import random
import sys
from pathlib import Path

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "views.json"
sys.path.insert(0, str(FIXTURE.parents[2] / "models"))

from orion_worker.detector import NormRect  # noqa: E402  (it needs the path above)
from orion_worker.geometry import PixelRect, pixel_region  # noqa: E402
from orion_worker.letterbox import Letterbox  # noqa: E402


def view(frame: list[int], region: dict | None, size: list[int]) -> dict:
    """How a region of a frame lies in a network's input, all in pixels."""
    crop = pixel_region(NormRect(**region), *frame) if region else PixelRect(0, 0, *frame)
    box = Letterbox.fit((crop.width, crop.height), tuple(size), "centre")
    return {
        "frame": frame,
        "region": region,
        "input": size,
        "crop": [crop.x, crop.y, crop.width, crop.height],
        "scaled": [box.scaled_width, box.scaled_height],
        "offset": [box.left, box.top],
    }


def test_views_are_those_of_the_fixture():
    cases = json.loads(FIXTURE.read_text())
    assert len(cases) >= 20
    for case in cases:
        assert view(case["frame"], case["region"], case["input"]) == case


def write() -> None:
    chance = random.Random(7)
    cases = []
    for frame in ([1280, 720], [768, 432], [427, 640], [3840, 2160], [33, 41], [7, 1], [640, 3]):
        for size in ([640, 640], [320, 320], [416, 416]):
            cases.append(view(frame, None, size))
            x, y = chance.uniform(0, 0.9), chance.uniform(0, 0.9)
            region = {"x": x, "y": y, "width": chance.uniform(0, 1 - x), "height": chance.uniform(0, 1 - y)}
            cases.append(view(frame, region, size))
    cases.append(view([1000, 500], {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}, [640, 640]))
    FIXTURE.write_text("[\n" + ",\n".join("  " + json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    write()
