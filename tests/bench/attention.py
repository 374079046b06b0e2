# SPDX-License-Identifier: MPL-2.0
"""Measures what a region of attention is worth: found persons, confidence and inference time.

Photos with a labelled person, scaled so that the person has a known height, lie on a softly textured
frame; the shipped person detector looks at the full frame, and at a region around the person with the
640 and with the 320 network. `make setup` makes the Python environment that this runs in.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models"), str(ROOT / "tests" / "e2e")]

import scene  # noqa: E402  (these need the paths above)

from orion_worker.detector import Attention, Image, NormRect  # noqa: E402
from orion_worker.options import Options  # noqa: E402
from orion_worker.person import PersonDetector  # noqa: E402

FRAMES = {"4K": (3840, 2160), "1080p": (1920, 1080)}
HEIGHTS = (30, 45, 60, 90, 120)
FOUND = 0.25
"""The confidence from which a person counts as found."""

LEAST_REGION = 0.1
"""Least side of a region, fraction of the frame: the default of orionroi's `min-roi`."""

_ROUNDS = 40


@dataclass(frozen=True)
class View:
    """A way to look at a frame."""

    name: str
    focused: bool
    target_size: int


VIEWS = (View("full 640", False, 640), View("region 640", True, 640), View("region 320", True, 320))


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="What a region of attention is worth.")
    default = Path(os.environ.get("ORION_TEST_DATA") or ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, metavar="DIR", default=default, help="default: %(default)s")
    data = parser.parse_args().data
    if not (data / "models").is_dir():
        print(f"no test data in {data}: give --data or set ORION_TEST_DATA", file=sys.stderr)
        return 2
    detector = load(data)
    persons = [person for person in scene.upright_persons(data) if is_known(detector, person)]
    print(f"{len(persons)} persons; found: confidence >= {FOUND} and IoU >= 0.5 with the labelled box")
    accuracy(detector, persons)
    speed(detector, persons[0])
    return 0


def load(data: Path) -> PersonDetector:
    """The person detector that the worker runs, with low scores let through."""
    models = data / "models"
    detector = PersonDetector(
        Options(
            detector="auto",
            model=models / "yoloxn_fp32_640.onnx",
            model_320=models / "yoloxn_fp32_320.onnx",
            model_dir=models,
            model_size="n",
            confidence=0.05,
            iou_threshold=0.45,
            labels=("person",),
            threads=0,
            execution_provider="cpu",
            log_level="info",
        )
    )
    detector.load()
    return detector


def is_known(detector: PersonDetector, person: scene.Person) -> bool:
    """Whether the network sees the person as large as the photo shows it; else no region can help."""
    return score(detector, person.photo, Attention(), person.box) >= 0.5


def score(detector: PersonDetector, image: Image, attention: Attention, wanted: np.ndarray) -> float:
    """The confidence with which a person is found, 0 if not at all."""
    found = detector.infer(image, attention).detections
    boxes = [np.array([d.x, d.y, d.x + d.width, d.y + d.height, d.confidence]) for d in found]
    return scene.best_score(boxes, wanted)


def around(box: np.ndarray, size: tuple[int, int]) -> NormRect:
    """A region twice as large as the box in its middle, each side no less than `LEAST_REGION`."""
    sides = np.maximum((box[2:] - box[:2]) * 2 / size, LEAST_REGION)
    x, y = np.clip((box[:2] + box[2:]) / 2 / size - sides / 2, 0, 1 - sides)
    return NormRect(float(x), float(y), float(sides[0]), float(sides[1]))


def accuracy(detector: PersonDetector, persons: list[scene.Person]) -> None:
    """Print the share of found persons and the mean confidence for each height, frame and view."""
    print(f"\n{'':14}" + "".join(f"{view.name:>20}" for view in VIEWS))
    print(f"{'frame':8}{'px':>6}" + f"{'found':>12}{'mean':>8}" * len(VIEWS))
    for name, size in FRAMES.items():
        background = scene.soft_background(*size)
        centre = (round(size[0] * 0.44), round(size[1] * 0.42))
        for height in HEIGHTS:
            scores = []
            for person in persons:
                image, box = scene.with_person(background, person, height, centre)
                region = around(box, size)
                looks = [Attention(region if view.focused else None, view.target_size) for view in VIEWS]
                scores.append([score(detector, image, look, box) for look in looks])
            found = (np.array(scores) >= FOUND).mean(axis=0)
            line = "".join(
                f"{share:12.0%}{mean:8.2f}"
                for share, mean in zip(found, np.mean(scores, axis=0), strict=True)
            )
            print(f"{name:8}{height:6}{line}")


def speed(detector: PersonDetector, person: scene.Person) -> None:
    """Print the median times of each view; they take turns, so that the machine's moods hit all alike."""
    print(f"\n{'':8}{'medians, ms':14}" + "".join(f"{view.name:>20}" for view in VIEWS))
    print(f"{'frame':22}" + f"{'inference':>12}{'total':>8}" * len(VIEWS))
    for name, size in FRAMES.items():
        background = scene.soft_background(*size)
        image, box = scene.with_person(background, person, 60, (size[0] // 2, size[1] // 2))
        looks = [Attention(around(box, size) if view.focused else None, view.target_size) for view in VIEWS]
        spent: list[list[tuple[float, float]]] = [[] for _ in VIEWS]
        for _ in range(_ROUNDS):
            for times, look in zip(spent, looks, strict=True):
                start = time.perf_counter()
                stages = detector.infer(image, look).stages
                assert stages is not None
                times.append((stages.inference_ms, 1e3 * (time.perf_counter() - start)))
        medians = [np.median(times, axis=0) for times in spent]
        print(f"{name:22}" + "".join(f"{inference:12.2f}{total:8.2f}" for inference, total in medians))


if __name__ == "__main__":
    sys.exit(main())
