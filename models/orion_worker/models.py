# SPDX-License-Identifier: MPL-2.0
"""Model files: Orion's own, or found by size and paired, 640 and 320 of one family."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orion_worker.errors import ModelError

FAMILIES = ("yolo11", "yolov8", "yolox")
"""Families in order of preference."""

OWN = "orion"
"""The size that stands for the network that comes with Orion."""

SHIPPED = (Path(__file__).resolve().parent.parent, Path(sys.prefix, "share", "orion", "models"))
"""Where Orion's own model is: beside this package, or where pip has put it; a model directory goes before."""

_NAMED = re.compile(
    r"(?P<family>yolo11|yolov8|yolox)[-_]?(?P<size>[nsmlx])(?P<extra>(_[A-Za-z0-9]+)*)"
    r"_(fp16|fp32|int8)_(?P<side>640|320)\.onnx"
)
_OWN = re.compile(r"orion_person_(640|320)\.onnx")
# The network as its authors publish it: one file, one input size, for both targets.
_PUBLISHED_NANO = re.compile(r"yolox_nano(_416.*)?\.onnx")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files to load. Without `file_320` the other one serves both targets."""

    size: str
    file_640: Path
    file_320: Path | None = None


def size_of(name: str) -> str | None:
    """The size (orion, n, s, m, l, x) in a model file's name, or None when it follows no pattern."""
    if _OWN.fullmatch(name):
        return OWN
    if match := _NAMED.fullmatch(name):
        return match["size"]
    return "n" if _PUBLISHED_NANO.fullmatch(name) else None


def pair(names: Iterable[str], size: str) -> tuple[str, str | None] | None:
    """The 640 and the 320 file of a size among file names; None when there is no 640 file.

    Families in the order of `FAMILIES`, then by name. The 320 file is of the same family, one that
    differs in the side only if there is one. For size n the published YOLOX-Nano is the last resort.
    """
    names = sorted(names)
    found = [match for match in map(_NAMED.fullmatch, names) if match and match["size"] == size]
    for family in FAMILIES:
        large = [match for match in found if match["family"] == family and match["side"] == "640"]
        small = [match for match in found if match["family"] == family and match["side"] == "320"]
        if large:
            stem = large[0].string.removesuffix("_640.onnx")
            partners = [match.string for match in small]
            twin = f"{stem}_320.onnx"
            return large[0].string, twin if twin in partners else next(iter(partners), None)
    if size == "n":
        return next(((name, None) for name in names if _PUBLISHED_NANO.fullmatch(name)), None)
    return None


def find(directory: Path, size: str) -> ModelFiles:
    """Find the model files of a size (orion, n, s, m, l, x) in a directory.

    Orion's own are taken from `SHIPPED` when the directory has none, or does not exist.

    Raises:
        ModelError: the directory cannot be read or holds no such model; the text says where was
            looked, for what, what is there, and the remedy.
    """
    if size == OWN:
        return _own(directory)
    remedy = f"run models/download_models.sh yolox-nano, or set model-dir, or set model-size to {OWN}"
    try:
        names = [entry.name for entry in directory.iterdir() if entry.suffix == ".onnx"]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(f"model directory {directory}: {reason}; {remedy}") from error
    files = pair(names, size)
    if files is None:
        patterns = ", ".join(f"{family}{size}*_fp32_640.onnx" for family in FAMILIES)
        if size == "n":
            patterns += ", yolox_nano_416*.onnx, yolox_nano.onnx"
        there = ", ".join(sorted(names)) or "none"
        text = f"no model of size {size!r} in {directory} (looked for {patterns}; .onnx files there: {there})"
        raise ModelError(f"{text}; {remedy}")
    return ModelFiles(size, directory / files[0], directory / files[1] if files[1] else None)


def _own(directory: Path) -> ModelFiles:
    places = (directory, *SHIPPED)
    for place in places:
        large, small = (place / f"orion_person_{side}.onnx" for side in (640, 320))
        if large.is_file():
            return ModelFiles(OWN, large, small if small.is_file() else None)
    text = f"Orion's own model, orion_person_640.onnx, is in none of {', '.join(map(str, places))}"
    raise ModelError(f"{text}; install Orion again, or set model-size and model-dir to those of another")
