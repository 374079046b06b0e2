# SPDX-License-Identifier: MPL-2.0
"""Non-maximum suppression: of boxes that overlap, keep the most confident one."""

import cv2
import numpy as np

from orion_worker.candidates import Candidates

MAX_CANDIDATES = 3000
"""Boxes looked at; suppression costs the square of their number."""

MAX_KEPT = 300
"""Boxes kept, Ultralytics' default limit per picture."""


def suppress(found: Candidates, iou_threshold: float) -> Candidates:
    """Keep the best boxes, most confident first, per class; IoU above the threshold is an overlap."""
    order = np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES]
    found = found.keep(order)
    if len(order) == 0:
        return found
    size = found.boxes[:, 2:] - found.boxes[:, :2]
    rects = np.concatenate([found.boxes[:, :2], size], axis=1)
    columns = (rects.tolist(), found.scores.tolist(), found.classes.tolist())
    kept = np.sort(
        np.asarray(cv2.dnn.NMSBoxesBatched(*columns, 0.0, iou_threshold), dtype=np.intp).reshape(-1)
    )
    return found.keep(kept[:MAX_KEPT])
