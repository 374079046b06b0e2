# SPDX-License-Identifier: MPL-2.0
"""Output of YOLOv8 and YOLO11: one column per box, classes as probabilities."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orion_worker.blob import to_blob
from orion_worker.candidates import Candidates, classify, confident
from orion_worker.detector import Image
from orion_worker.letterbox import Anchor


@dataclass(frozen=True, slots=True)
class Yolo:
    """Decoder of `(1, 4 + classes, n)`: centre x, centre y, width, height in px, then class scores.

    Source: the ONNX export of Ultralytics YOLOv8 and YOLO11 without built-in suppression.
    """

    class_count: int
    name: ClassVar[str] = "yolo"
    anchor: ClassVar[Anchor] = "centre"

    def blob(self, canvas: Image) -> NDArray[np.float32]:
        """The network's input: (1, 3, h, w), red, green, blue, 0..1."""
        return to_blob(canvas, (2, 1, 0), 1 / 255)

    def decode(self, output: NDArray[np.float32], wanted: NDArray[np.int64], threshold: float) -> Candidates:
        """Candidates of the wanted classes in px of the network's input."""
        columns = output[0]
        scores = columns[4:]
        index = confident(scores, wanted, threshold)
        return classify(columns[:4, index].T, scores[:, index], wanted)
