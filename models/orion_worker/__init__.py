# SPDX-License-Identifier: MPL-2.0
"""Inference worker of Orion: frames on standard input, results on standard output.

A worker of one's own is a class with a method `infer` and one call:

    import sys
    import orion_worker

    class DarkRoom:
        def load(self):
            self.limit = 20

        def infer(self, image, attention):
            if image.mean() > self.limit:
                return []
            height, width = image.shape[:2]
            return [orion_worker.Detection(0, 0, width, height, confidence=1.0, label="dark")]

        def describe(self):
            return {"limit": self.limit}

    sys.exit(orion_worker.run(DarkRoom()))

`load` and `describe` may be left out. Name and result type follow from the class, here `dark_room` and
`dark_room_detection`, unless it has attributes `name` and `result_type` (`Detector` has the rule). More
is offered, not asked: an `Inference` instead of the list carries metadata and times, `Staged` prepares
the next frame while the current one is inferred, `Reducible` lets large JPEGs be decoded smaller,
`Batched` takes frames of several cameras at once, `Tunable` takes new settings from the host, and
`options()` reads the flags that the host adds to the command line.
`worker-command="/any/bin/python my_worker.py"` makes the plugin use it;
`python -m orion_worker check my_worker.py` tells whether it keeps the protocol.
"""

from orion_worker.detector import (
    Attention,
    Batched,
    Detection,
    Detector,
    Inference,
    Models,
    NormRect,
    Picture,
    Reducible,
    Staged,
    Stages,
    Tunable,
)
from orion_worker.errors import CommandError, WorkerError
from orion_worker.options import Options, options
from orion_worker.version import VERSION as __version__
from orion_worker.worker import run

__all__ = [
    "Attention",
    "Batched",
    "CommandError",
    "Detection",
    "Detector",
    "Inference",
    "Models",
    "NormRect",
    "Options",
    "Picture",
    "Reducible",
    "Staged",
    "Stages",
    "Tunable",
    "WorkerError",
    "__version__",
    "options",
    "run",
]
