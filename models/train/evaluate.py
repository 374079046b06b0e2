#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Judge ONNX detectors on photos and clips, and time them, decoded exactly as the worker does it.

Runs in the worker's environment (models/.venv), without torch. Works for any model that the worker reads.
"""

import argparse
import itertools
import math
import sys
import time
from pathlib import Path

import numpy as np

from orion_train.judging import Detector, judge_photos, presence_in, shift_for
from orion_train.scoring import Judged, match, presence
from orion_worker.errors import WorkerError
from orion_worker.session import Session

HEIGHTS = ((0, 32), (32, 64), (64, 128), (128, math.inf))


def report(name: str, judged: list[Judged], threshold: float, precision: float) -> None:
    """Print the figures of one model; heights are in px of the photo."""
    hits = match(judged)
    at, recall = hits.at(threshold)
    seen, there, false, empty = presence(judged, threshold)
    facts = f"precision {at:.3f}, recall {recall:.3f}"
    print(f"{name}: AP50 {hits.average_precision():.3f}; at {threshold}: {facts}")
    print(f"  presence: {seen} of {there} pictures with people, {false} false of {empty} without")
    for low, high in HEIGHTS:
        part = match(judged, (low, high))
        facts = f"AP50 {part.average_precision():.3f}, recall {part.at(threshold)[1]:.3f}"
        print(f"  height {low} to {high} px: {part.persons} persons, {facts}")
    try:
        shift = shift_for(hits, precision)
    except ValueError as error:
        print(f"  {error}")
        return
    score = 1 / (1 + math.exp(shift))
    facts = f"recall {hits.at(score)[1]:.3f}, shift {shift:+.3f}"
    print(f"  precision {precision} from score {score:.3f} on: {facts}")


def table(models: dict[str, Detector], folders: list[Path], threshold: float) -> None:
    """Print the figures of all models on all photos as the table of the model card."""
    print(
        f"| model | pictures | AP50 | precision / recall at {threshold} | people found in | seen in empty |"
    )
    print("|---|---|---|---|---|---|")
    for folder in folders:
        for name, detector in models.items():
            judged = judge_photos(detector, folder)
            hits = match(judged)
            at, recall = hits.at(threshold)
            seen, there, false, empty = presence(judged, threshold)
            boxes = f"{hits.average_precision():.3f} | {at:.3f} / {recall:.3f}"
            print(f"| {Path(name).stem} | {folder.name} | {boxes} | {seen} of {there} | {false} of {empty} |")


def report_clip(clip: Path, detectors: dict[str, Detector], options: argparse.Namespace) -> None:
    """Print in how many frames each model finds a person, and how often it agrees with the reference."""
    models = list(detectors.values())
    if options.reference:
        models.append(Detector(options.reference, options.threads))
    found = presence_in(models, clip, options.threshold, options.every)
    for name, mine in zip(detectors, found, strict=False):
        text = f"{clip.name}: {name} finds a person in {100 * mine.mean():.2f} % of {len(mine)} frames"
        if options.reference:
            theirs, agrees = found[-1].mean(), (mine == found[-1]).mean()
            text += f"; {options.reference.name} in {100 * theirs:.2f} %; they agree in {100 * agrees:.2f} %"
        print(text, flush=True)


def report_times(files: list[Path], rounds: int) -> None:
    """Print how long each network takes on one thread, in turns, so that all meet the same weather."""
    sessions = [Session.open(file, "cpu", 1, 640) for file in files]
    runs = [session.bind(np.full((1, 3, *session.input_size[::-1]), 0.5, np.float32)) for session in sessions]
    times: list[list[float]] = [[] for _ in files]
    for _ in range(rounds):
        for run, row in zip(runs, times, strict=True):
            run()  # its weights back into the cache
            start = time.perf_counter()
            run()
            row.append(1e3 * (time.perf_counter() - start))
    for file, row in zip(files, times, strict=True):
        low, middle = np.min(row), np.median(row)
        size = file.stat().st_size
        print(f"{file.name}: {low:.2f} ms at best, {middle:.2f} ms in the middle, {size} bytes")


def main() -> int:
    """Run the command line; 0 when done, 2 when something was wrong with what it was given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", help="ONNX files")
    parser.add_argument(
        "--photos", type=Path, action="append", default=[], help="folder with images/ and persons.json"
    )
    parser.add_argument(
        "--table", action="store_true", help="print the figures on photos as the model card's table"
    )
    parser.add_argument("--clip", type=Path, action="append", default=[], help="film to look for people in")
    parser.add_argument("--reference", type=Path, help="model whose presence the others should agree with")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--precision", type=float, default=0.7, help="what the printed shift aims at")
    parser.add_argument("--every", type=int, default=1, help="look at every n-th frame of a clip")
    parser.add_argument("--times", type=int, metavar="ROUNDS", help="also time the networks")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    try:
        detectors = {str(file): Detector(file, options.threads) for file in options.models}
        if options.table:
            table(detectors, options.photos, options.threshold)
        else:
            for folder, (name, detector) in itertools.product(options.photos, detectors.items()):
                report(name, judge_photos(detector, folder), options.threshold, options.precision)
        for clip in options.clip:
            report_clip(clip, detectors, options)
        if options.times:
            report_times(options.models, options.times)
    except (OSError, WorkerError) as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
