# SPDX-License-Identifier: MPL-2.0
"""The training pictures, decoded once into one memory-mapped file."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from orion_train.archives import members
from orion_train.config import HELD_OUT

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture in the cache: boxes and ignored regions are (n, 4) corners in its px."""

    name: str
    source: str
    origin: str
    offset: int
    height: int
    width: int
    boxes: NDArray[np.float32]
    ignore: NDArray[np.float32]


class Cache:
    """Pictures (height, width, 3), RGB, by number. The file is opened on first use in each process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        index = json.loads((directory / "index.json").read_text())
        self.pictures = [_picture(entry) for entry in index["pictures"]]
        self._pixels: np.memmap | None = None

    def pixels(self, number: int) -> NDArray[np.uint8]:
        """The picture's pixels; read only."""
        if self._pixels is None:
            self._pixels = np.memmap(self.directory / "pixels.bin", np.uint8, "r")
        entry = self.pictures[number]
        size = entry.height * entry.width * 3
        return self._pixels[entry.offset : entry.offset + size].reshape(entry.height, entry.width, 3)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_pixels": None}


def _picture(entry: dict) -> Picture:
    arrays = {key: np.array(entry[key], np.float32).reshape(-1, 4) for key in ("boxes", "ignore")}
    return Picture(**{**entry, **arrays})


def build(data: Path, directory: Path) -> Cache:
    """Decode `data` (labels.json and images_*.tar) into `directory`, unless that is done already.

    Sources in `HELD_OUT` are left out.

    Raises:
        FileNotFoundError: labels.json or the archives are missing.
        ValueError: a picture cannot be decoded, is of another size than labelled, or is missing.
    """
    labels_file = data / "labels.json"
    stamp = {"format": _FORMAT, "labels_bytes": labels_file.stat().st_size, "held_out": list(HELD_OUT)}
    index_file = directory / "index.json"
    if index_file.exists() and json.loads(index_file.read_text())["stamp"] == stamp:
        return Cache(directory)
    labels = json.loads(labels_file.read_text())
    wanted = {name for name, entry in labels.items() if entry["source"] not in HELD_OUT}
    directory.mkdir(parents=True, exist_ok=True)
    entries, offset = [], 0
    with (directory / "pixels.bin").open("wb") as out:
        for name, packed in members(data, wanted):
            label, image = labels[name], _decode(name, packed)
            height, width = image.shape[:2]
            if (width, height) != (label["w"], label["h"]):
                raise ValueError(f"{name} is {width}x{height} px, labelled {label['w']}x{label['h']}")
            scale = np.array([width, height, width, height])
            corners = {
                key: np.round(np.clip(np.array(label[key]).reshape(-1, 4), 0, 1) * scale, 2).tolist()
                for key in ("boxes", "ignore")
            }
            out.write(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).tobytes())
            facts = {"name": name, "source": label["source"], "origin": label["origin"], "offset": offset}
            entries.append({**facts, "height": height, "width": width, **corners})
            offset += image.size
    if missing := wanted - {entry["name"] for entry in entries}:
        raise ValueError(f"{len(missing)} labelled pictures are in no archive, such as {min(missing)}")
    entries.sort(key=lambda entry: entry["name"])
    new = directory / "index.json.new"
    new.write_text(json.dumps({"stamp": stamp, "pictures": entries}))
    os.replace(new, index_file)
    return Cache(directory)


def _decode(name: str, packed: bytes) -> NDArray[np.uint8]:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(packed, np.uint8), flags)
    if image is None:
        raise ValueError(f"{name} cannot be decoded")
    return np.asarray(image, np.uint8)
