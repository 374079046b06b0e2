# SPDX-License-Identifier: MPL-2.0
"""One model quantised, and held against the original on frames that it was not calibrated with."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orion_worker.candidates import Candidates
from orion_worker.detector import Image
from orion_worker.errors import ModelError
from orion_worker.geometry import PixelRect, clip
from orion_worker.labels import class_names, label_ids
from orion_worker.network import Network
from orion_worker.nms import suppress
from orion_worker.quantize import graph
from orion_worker.quantize.agreement import Agreement, compare

_IOU_THRESHOLD = 0.45
_ROUNDS = 30


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a model: `head` convolutions were left alone, inference takes `ratio` of the time."""

    head: int
    agreement: Agreement
    ratio: float


@dataclass(frozen=True, slots=True)
class Judge:
    """What counts as agreement: of which classes, from which confidence on, how much of it."""

    labels: Sequence[str]
    confidence: float
    least: float


def quantise(
    model: Path,
    target: Path,
    frames: tuple[Sequence[Image], Sequence[Image]],
    judge: Judge,
    threads: int,
) -> Trial:
    """Write `target`, the best of the trials with more and more of the head left as it is.

    Args:
        model: the original.
        target: where the INT8 model goes; its content counts only if this returns.
        frames: those to calibrate with, and those to judge by.
        judge: when it is good enough; the first trial that is ends the search.
        threads: of one inference.

    Raises:
        ModelError: the original finds nothing to judge by, or no trial agrees with it enough.
    """
    original = Network.open(model, "auto", "cpu", threads, 640)
    calibrate, hold = frames
    wanted = _wanted(original, judge.labels, model)
    known = [_found(original, image, wanted, judge.confidence) for image in hold]
    if not any(len(found.scores) for found in known):
        raise ModelError(
            f"{model.name} finds no {' or '.join(judge.labels)} in any of {len(hold)} frames, so nothing can "
            "be judged; give frames with some, or a lower --confidence"
        )
    blobs = [_blob(original, image) for image in calibrate]
    tried: list[str] = []
    with graph.temporary() as folder:
        prepared = graph.prepare(model, Path(folder))
        for head in graph.HEADS:
            graph.quantise(prepared, blobs, head, target, model)
            made = Network.open(target, "auto", "cpu", threads, 640)
            agreement = compare(known, [_found(made, image, wanted, judge.confidence) for image in hold])
            if agreement.share >= judge.least:
                return Trial(head, agreement, _ratio(original, made, hold[0]))
            tried.append(
                f"with {head} convolutions left alone {agreement.again} of "
                f"{agreement.again + agreement.lost} boxes found again, {agreement.new} new"
            )
    raise ModelError(
        f"{model.name}: INT8 does not agree with the original ({'; '.join(tried)}; agreement of "
        f"{judge.least:g} is asked for); nothing was written"
    )


def _wanted(network: Network, labels: Sequence[str], model: Path) -> NDArray[np.int64]:
    try:
        return label_ids(labels, class_names(network.session.names, network.head.class_count))
    except ValueError as error:
        raise ModelError(f"model {model}: {error}") from error


def _found(network: Network, image: Image, wanted: NDArray[np.int64], confidence: float) -> Candidates:
    found, _ = network.detect(network.prepare(image), wanted, confidence)
    boxes = clip(found.boxes, PixelRect(0, 0, image.shape[1], image.shape[0]))
    found = Candidates(boxes, found.scores, found.classes)
    return suppress(found.keep((boxes[:, 2:] > boxes[:, :2]).all(axis=1)), _IOU_THRESHOLD)


def _blob(network: Network, image: Image) -> NDArray[np.float32]:
    given = network.prepare(image)
    try:
        return given.tensor[0].blob.copy()
    finally:
        network.tensors.give_back(given.tensor)


def _ratio(original: Network, made: Network, image: Image) -> float:
    # In turns, so that the machine's moods hit both alike.
    spent: tuple[list[float], list[float]] = ([], [])
    given = [network.prepare(image).tensor[1] for network in (original, made)]
    for _ in range(_ROUNDS):
        for run, times in zip(given, spent, strict=True):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return statistics.median(spent[1]) / statistics.median(spent[0])
