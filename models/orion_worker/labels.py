# SPDX-License-Identifier: MPL-2.0
"""Class names: the 80 of COCO, and the numbers of those asked for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The "thing" categories of COCO 2017 in the order detectors number them (arXiv 1405.0312).
# fmt: off
COCO = [
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse",
    "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie",
    "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove",
    "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon",
    "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut",
    "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse",
    "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book",
    "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
]
# fmt: on


def class_names(in_model: Sequence[str] | None, class_count: int) -> list[str]:
    """Names of a model's classes: its own, else COCO's for 80 classes, else `class_0`, `class_1`, ...

    Raises:
        ValueError: the model names another number of classes than it has.
    """
    if in_model is not None:
        if len(in_model) != class_count:
            raise ValueError(f"{len(in_model)} class names for {class_count} classes")
        return list(in_model)
    if class_count == len(COCO):
        return list(COCO)
    return [f"class_{number}" for number in range(class_count)]


def label_ids(wanted: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Class numbers of the labels wanted.

    Raises:
        ValueError: none is wanted, or the model does not know one; names it and the known ones.
    """
    if not wanted:
        raise ValueError("no label given")
    for label in wanted:
        if label not in names:
            raise ValueError(f"unknown label {label!r}; the model knows: {', '.join(names)}")
    return np.array(sorted({names.index(label) for label in wanted}), dtype=np.int64)
