# SPDX-License-Identifier: MPL-2.0
"""ONNX detectors on photos and clips, decoded exactly as the worker does it."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from orion_train.heldout import read
from orion_train.scoring import Hits, Judged
from orion_worker.candidates import Candidates
from orion_worker.labels import class_names, label_ids
from orion_worker.network import Network
from orion_worker.nms import suppress

LOWEST = 0.01
"""Scores below this are not looked at: they do not change AP50 in the third digit."""

IOU = 0.45
"""The worker's default for suppression."""


class Detector:
    """A model with the worker's decoder; persons only."""

    def __init__(self, file: Path, threads: int = 1) -> None:
        self._network = Network.open(file, "auto", "cpu", threads, 640)
        names = class_names(self._network.session.names, self._network.head.class_count)
        self._wanted = label_ids(["person"], names)

    def __call__(self, image: NDArray[np.uint8], lowest: float) -> Candidates:
        """Persons in a picture (h, w, 3), BGR, in its px, clipped and suppressed."""
        height, width = image.shape[:2]
        found, _ = self._network.detect(self._network.prepare(image), self._wanted, lowest)
        boxes = np.clip(found.boxes, 0, [width, height, width, height])
        return suppress(Candidates(boxes, found.scores, found.classes), IOU)


def judge_photos(detector: Detector, folder: Path) -> list[Judged]:
    """Detections beside the persons in `folder`/persons.json.

    Raises:
        OSError: a file is missing.
    """
    judged = []
    for name, entry in json.loads((folder / "persons.json").read_text()).items():
        found = detector(read(folder / "images" / name), LOWEST)
        truth = [np.array(entry[key], float).reshape(-1, 4) for key in ("persons_xyxy", "crowd_xyxy")]
        judged.append(Judged(found.boxes, found.scores, *truth))
    return judged


def shift_for(hits: Hits, precision: float) -> float:
    """What to add to a model's logits so that its precision from score 0.5 on is as asked.

    Raises:
        ValueError: no score reaches that precision.
    """
    score = min(max(hits.threshold_for(precision), 1e-6), 1 - 1e-6)
    return -math.log(score / (1 - score))


def presence_in(
    detectors: Sequence[Detector], clip: Path, threshold: float, every: int = 1
) -> list[NDArray[np.bool_]]:
    """For each detector, whether it finds a person in each n-th frame of a clip.

    Raises:
        OSError: the clip cannot be read.
    """
    capture = cv2.VideoCapture(str(clip))
    found: list[list[bool]] = [[] for _ in detectors]
    number = 0
    while capture.grab():
        if number % every == 0:
            image = np.asarray(capture.retrieve()[1], np.uint8)
            for row, detector in zip(found, detectors, strict=True):
                row.append(len(detector(image, threshold).scores) > 0)
        number += 1
    if number == 0:
        raise OSError(f"{clip} has no readable frame")
    return [np.array(row, bool) for row in found]
