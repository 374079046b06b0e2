# SPDX-License-Identifier: MPL-2.0
"""The last step of a run: ONNX files whose score of 0.5 means what a user expects."""

from pathlib import Path

from orion_train import checkpoint
from orion_train.config import Config
from orion_train.export import SIDES, export
from orion_train.judging import Detector, judge_photos, shift_for
from orion_train.network import PersonNet
from orion_train.scoring import match

PRECISION = 0.8
"""Precision on the held-out pictures that a score of 0.5 is set to; a little more than is asked for."""


def deliver(file: Path, photos: Path, out: Path, precision: float, weights: str = "average") -> list[str]:
    """Export a checkpoint's `average` weights, or its last `net`, with scores set by `photos`.

    The scores of a detector trained with soft targets are low. For each input size one number is added
    to the logits, so that detections of 0.5 and more have the given precision on `photos`. It changes
    neither their order nor AP. Where the network is too poor for that, as after a few steps, scores stay
    as they are, and its line says so.

    Returns:
        What was written, a line for each file.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: an exported file is wrong.
    """
    state = checkpoint.load(file)
    config = Config.of(state["config"])
    net = PersonNet(config.shape)
    net.load_state_dict(state[weights])
    lines = [f"step {state['step']} of {config.steps}"]
    for side in SIDES:
        plain = match(judge_photos(Detector(export(net, out, side, 0.0)), photos))
        try:
            shift, how = shift_for(plain, precision), ""
        except ValueError as error:
            shift, how = 0.0, f", because {error}"
        written = export(net, out, side, shift)
        score = plain.average_precision()
        lines.append(f"{written}: {written.stat().st_size} bytes, AP50 {score:.3f}, shift {shift:+.3f}{how}")
    return lines
