# SPDX-License-Identifier: MPL-2.0
"""Output of YOLOv8 and YOLO11: one column per box, classes as probabilities."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orion_worker.candidates import Candidates, classify, confident
from orion_worker.letterbox import Anchor
from orion_worker.tensor import Layout


@dataclass(frozen=True, slots=True)
class Yolo:
    """Decoder of `(1, 4 + classes, n)`: centre x, centre y, width, height in px, then class scores.

    Source: the ONNX export of Ultralytics YOLOv8 and YOLO11 without built-in suppression.
    """

    class_count: int
    name: ClassVar[str] = "yolo"
    layout: ClassVar[Layout] = Layout((2, 1, 0), 1 / 255)
    anchor: ClassVar[Anchor] = "centre"

    def decode(self, output: NDArray[np.float32], wanted: NDArray[np.int64], threshold: float) -> Candidates:
        """Candidates of the wanted classes in px of the network's input."""
        columns = output[0]
        index = confident(columns[4 + wanted], threshold)
        picked = columns[:, index]
        return classify(picked[:4].T, picked[4:], wanted)
