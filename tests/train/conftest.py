# SPDX-License-Identifier: MPL-2.0
"""Paths of the training code, and a small data set made of coloured rectangles."""

import io
import json
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models"), str(ROOT / "models" / "train")]

PERSON = (255, 0, 0)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels and one archive: a red rectangle on black is a person."""
    folder = tmp_path_factory.mktemp("data")
    kinds = [("voc", "human")] * 4 + [("cctvpos", "teacher")] * 2 + [("rooms", "none")] * 2
    kinds.append(("coco128train", "human"))
    labels = {}
    with tarfile.open(folder / "images_00.tar", "w") as tar:
        for number, (source, origin) in enumerate(kinds):
            image = np.zeros((120, 160, 3), np.uint8)
            boxes = []
            if origin != "none":
                image[40:100, 60:90] = PERSON[::-1]
                boxes = [[60 / 160, 40 / 120, 90 / 160, 100 / 120]]
            name = f"{source}_{number:05d}.jpg"
            packed = cv2.imencode(".png", image)[1].tobytes()
            member = tarfile.TarInfo(f"images/{name}")
            member.size = len(packed)
            tar.addfile(member, io.BytesIO(packed))
            facts = {"w": 160, "h": 120, "source": source, "path": f"x/{number}.jpg", "origin": origin}
            labels[name] = {**facts, "boxes": boxes, "ignore": []}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder
