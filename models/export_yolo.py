#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Export YOLO11 weights to the two ONNX files that the worker pairs; called by download_models.sh.

Runs in an environment with ultralytics (AGPL-3.0), torch and onnx. Weights (.pt) are Python pickles: loading
them runs their code, so only weights with a known checksum belong here.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIDES = (640, 320)
# Read by ONNX Runtime since 2020 and written by every torch from 1.13 on.
OPSET = 12
CLASSES = 80
_WEIGHTS = re.compile(r"yolo11[nsmlx]\.pt")


class ExportError(Exception):
    """The export cannot be done, or its result is not what the worker reads; the text says why."""


def target(weights: Path, directory: Path, side: int) -> Path:
    """Where the model with this input side goes, by the worker's naming rule.

    Raises:
        ExportError: the weights are not named like a YOLO11 detection model.
    """
    if not _WEIGHTS.fullmatch(weights.name):
        raise ExportError(f"{weights.name}: not the name of YOLO11 weights (yolo11n.pt ... yolo11x.pt)")
    return directory / f"{weights.stem}_fp32_{side}.onnx"


def expected_shapes(side: int, classes: int = CLASSES) -> tuple[list[int], list[int]]:
    """Input and output shape: three strides, four box numbers and one score for each class."""
    columns = sum((side // stride) ** 2 for stride in (8, 16, 32))
    return [1, 3, side, side], [1, 4 + classes, columns]


def check_shapes(name: str, side: int, inputs: Sequence[list[int]], outputs: Sequence[list[int]]) -> None:
    """Compare a model's shapes with what the worker reads.

    Raises:
        ExportError: they differ; the text names both.
    """
    image, boxes = expected_shapes(side)
    if list(inputs) != [image] or list(outputs) != [boxes]:
        found = f"{list(inputs)} to {list(outputs)}"
        raise ExportError(f"{name}: maps {found}, but the worker needs [{image}] to [{boxes}]")


def check(file: Path, side: int) -> None:
    """Check that a file is a well-formed ONNX model with the worker's shapes.

    Raises:
        ExportError: it is not.
    """
    import onnx

    try:
        model = onnx.load(str(file))
        onnx.checker.check_model(model)
    except Exception as error:  # onnx and protobuf raise types of their own, by version
        raise ExportError(f"{file.name}: not a valid ONNX model: {error}") from error

    def shapes(values: Any) -> list[list[int]]:
        return [[size.dim_value for size in value.type.tensor_type.shape.dim] for value in values]

    check_shapes(file.name, side, shapes(model.graph.input), shapes(model.graph.output))


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    # All that is needed is here; whatever a library wants to fetch or report on its own is not wanted.
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError("the export uses no network")


def export(weights: Path, directory: Path) -> list[Path]:
    """Write both models to a directory.

    Raises:
        ExportError: a library is missing, or the export or its check failed.
    """
    targets = [target(weights, directory, side) for side in SIDES]
    for name, value in (
        ("YOLO_OFFLINE", "true"),
        ("YOLO_AUTOINSTALL", "false"),
        ("YOLO_CONFIG_DIR", str(directory)),
        ("MPLCONFIGDIR", str(directory)),
    ):
        os.environ[name] = value
    sys.addaudithook(_refuse_network)
    try:
        from ultralytics import YOLO
    except ImportError as error:
        raise ExportError(f"ultralytics cannot be loaded by {sys.executable}: {error}") from error
    for side, file in zip(SIDES, targets, strict=True):
        try:
            # A model object that was exported once has lost what a second export needs.
            made = YOLO(str(weights)).export(
                format="onnx", imgsz=side, opset=OPSET, simplify=False, dynamic=False, device="cpu"
            )
        except Exception as error:  # any type: ultralytics, torch and pickle each have theirs
            raise ExportError(f"{weights.name} at {side}: {type(error).__name__}: {error}") from error
        Path(made).replace(file)
        check(file, side)
    return targets


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit status 1 with one `[ERROR]` line when the export failed."""
    parser = argparse.ArgumentParser(description="Export YOLO11 weights to ONNX, 640 and 320.")
    parser.add_argument("weights", type=Path, help="yolo11n.pt ... yolo11x.pt; the directory is written to")
    parser.add_argument("directory", type=Path, help="where the two models go")
    options = parser.parse_args(arguments)
    try:
        for file in export(options.weights, options.directory):
            print(file)
    except ExportError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
