# SPDX-License-Identifier: MPL-2.0
"""Inference worker of Orion: frames on standard input, results on standard output.

A worker of one's own is a class with the four members of `Detector` and one call:

    import sys
    import orion_worker

    class DarkRoom:
        name = "dark_room_detector"
        result_type = "dark_room"

        def load(self):
            return orion_worker.Models()

        def infer(self, image, attention):
            if image.mean() > 20:
                return orion_worker.Inference([])
            height, width = image.shape[:2]
            return orion_worker.Inference([orion_worker.Detection(0, 0, width, height, 1.0, "dark", 0)])

        def describe(self):
            return {"limit": 20}

    sys.exit(orion_worker.run(DarkRoom()))
"""

from orion_worker.detector import Attention, Detection, Detector, Inference, Models, NormRect, Stages, Tunable
from orion_worker.version import VERSION as __version__
from orion_worker.worker import run

__all__ = [
    "Attention",
    "Detection",
    "Detector",
    "Inference",
    "Models",
    "NormRect",
    "Stages",
    "Tunable",
    "__version__",
    "run",
]
