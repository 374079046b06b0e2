# SPDX-License-Identifier: MPL-2.0
"""A person detector written only for comparison: plain NumPy and ONNX Runtime, nothing of orion_worker."""

import cv2
import numpy as np
import onnxruntime


class Reference:
    """Boxes of one network on RGB pictures, (N, 5): left, top, right, bottom in pixels, and the score."""

    def __init__(self, model: str, raw_grid: bool, confidence: float, iou: float) -> None:
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._raw_grid, self._confidence, self._iou = raw_grid, confidence, iou
        _, _, self._height, self._width = self._session.get_inputs()[0].shape

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        scale = min(self._width / width, self._height / height)
        new_w, new_h = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(rgb, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
        canvas = np.full((self._height, self._width, 3), 114, np.uint8)
        left, top = (0, 0) if self._raw_grid else ((self._width - new_w) // 2, (self._height - new_h) // 2)
        canvas[top : top + new_h, left : left + new_w] = small
        if self._raw_grid:
            tensor = canvas[:, :, ::-1].astype(np.float32)
        else:
            tensor = canvas.astype(np.float32) / 255.0
        out = self._session.run(None, {self._session.get_inputs()[0].name: tensor.transpose(2, 0, 1)[None]})[
            0
        ][0]
        centres, scores = self._grid(out) if self._raw_grid else (out[:4].T, out[4])
        keep = scores >= self._confidence
        centres, scores = centres[keep], scores[keep]
        corners = np.concatenate(
            [centres[:, :2] - centres[:, 2:] / 2, centres[:, :2] + centres[:, 2:] / 2], axis=1
        )
        corners = (corners - [left, top, left, top]) / np.tile([new_w / width, new_h / height], 2)
        corners = np.clip(corners, 0, [width, height, width, height])
        return self._suppress(np.column_stack([corners, scores]))

    def _grid(self, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = []
        for stride in (8, 16, 32):
            for y in range(self._height // stride):
                for x in range(self._width // stride):
                    rows.append((x, y, stride))
        grid = np.array(rows, np.float32)
        xy = (out[:, :2] + grid[:, :2]) * grid[:, 2:]
        wh = np.exp(out[:, 2:4]) * grid[:, 2:]
        return np.concatenate([xy, wh], axis=1), out[:, 4] * out[:, 5]

    def _suppress(self, boxes: np.ndarray) -> np.ndarray:
        kept: list[np.ndarray] = []
        for box in boxes[np.argsort(-boxes[:, 4], kind="stable")]:
            if all(iou(box, other) <= self._iou for other in kept):
                kept.append(box)
        return np.array(kept).reshape(-1, 5)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes given by their corners."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
