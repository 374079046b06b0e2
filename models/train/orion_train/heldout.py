# SPDX-License-Identifier: MPL-2.0
"""The pictures that are never trained on, as a folder of photos to judge with."""

import json
from pathlib import Path

import cv2
import numpy as np

from orion_train.archives import members
from orion_train.config import HELD_OUT


def build(data: Path, folder: Path, judge: Path | None) -> Path:
    """Write the held-out sources of `data` as `folder`/images and `folder`/persons.json.

    Pictures named in `judge`, a persons.json, are left out, so that what is set by this folder (the
    scores' shift) can be judged there. Names are those of the pictures' source, not of this copy.

    Raises:
        OSError: labels, archives or `judge` cannot be read.
    """
    kept = set(json.loads(judge.read_text())) if judge else set()
    labels = json.loads((data / "labels.json").read_text())
    wanted = {
        name
        for name, entry in labels.items()
        if entry["source"] in HELD_OUT and Path(entry["path"]).name not in kept
    }
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    truth = {}
    for name, packed in members(data, wanted):
        (images / name).write_bytes(packed)
        entry = labels[name]
        scale = np.array([entry["w"], entry["h"]] * 2)
        truth[name] = {
            key: (np.array(entry[label]).reshape(-1, 4) * scale).tolist()
            for key, label in (("persons_xyxy", "boxes"), ("crowd_xyxy", "ignore"))
        }
    (folder / "persons.json").write_text(json.dumps(truth))
    return folder


def read(file: Path) -> np.ndarray:
    """A picture (h, w, 3), BGR, as stored, whatever its EXIF orientation says.

    Raises:
        OSError: it cannot be read.
    """
    image = cv2.imread(str(file), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise OSError(f"{file} cannot be read")
    return np.asarray(image, np.uint8)
