# SPDX-License-Identifier: MPL-2.0
"""How a training picture looks: light, colour, blur, noise, coarse pixels and JPEG, by chance."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])
# RGB to YIQ (NTSC 1953), in which hue is the angle of the last two components.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)
_NOISE = np.random.default_rng(7).normal(0, 1, (640, 640, 3)).astype(np.float32)


def colour_matrix(rng: np.random.Generator) -> NDArray[np.float64]:
    """A 3 x 4 matrix for RGB in 0..255: contrast, brightness, white balance, saturation and hue.

    One picture in ten becomes grey, as an infrared camera's is.
    """
    grey = np.tile(_LUMA, (3, 1))
    saturation = 0.0 if rng.random() < 0.1 else rng.uniform(0.4, 1.6)
    angle = rng.normal(0, 0.08)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = (saturation * np.eye(3) + (1 - saturation) * grey) @ _RGB @ turn @ _YIQ
    contrast = np.exp(rng.normal(0, 0.22))
    balance = np.exp(rng.normal(0, 0.06, 3)) * contrast
    offset = 128 * (1 - contrast) * rng.uniform(0, 1) + rng.normal(0, 16)
    return np.column_stack([balance[:, None] * matrix, np.full(3, offset)])


def gamma_table(gamma: float) -> Image:
    """A look-up table (256,) for value ^ gamma in 0..1."""
    return np.round(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)


def distort(rng: np.random.Generator, image: Image) -> Image:
    """A picture of the same size that looks different; RGB."""
    height, width = image.shape[:2]
    if rng.random() < 0.9:
        image = cv2.transform(image, colour_matrix(rng))
    if rng.random() < 0.3:
        image = cv2.LUT(image, gamma_table(float(np.exp(rng.normal(0, 0.4)))))
    if rng.random() < 0.08:
        part = rng.uniform(0.4, 0.8)
        small = cv2.resize(image, (max(1, round(width * part)), max(1, round(height * part))))
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.06:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.5)))
    if rng.random() < 0.1:
        y, x = (int(rng.integers(0, 640 - side + 1)) if side <= 640 else 0 for side in (height, width))
        noise = _NOISE[y : y + height, x : x + width] * np.float32(rng.uniform(2, 14))
        if noise.shape == image.shape:
            image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.3:
        quality = int(rng.integers(20, 90))
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    return image
