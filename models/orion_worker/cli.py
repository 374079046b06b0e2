# SPDX-License-Identifier: MPL-2.0
"""Start of the shipped workers from the command line."""

import sys
from pathlib import Path

from orion_worker.detector import Detector
from orion_worker.errors import SetupError, WorkerError
from orion_worker.log import configure, log
from orion_worker.options import Options, parse
from orion_worker.stdio import Channel
from orion_worker.worker import run

DEFAULT_MODEL_DIR = Path(__file__).resolve().parent.parent / "weights"


def main(default_model_dir: Path = DEFAULT_MODEL_DIR) -> int:
    """Run the worker that the command line describes; returns the exit status."""
    configure()
    try:
        options = parse(sys.argv[1:], default_model_dir)
        configure(options.log_level)
        channel = Channel.claim()
        detector = _detector(options)
    except WorkerError as error:
        log.error("%s", error)
        return error.exit_status
    return run(detector, channel)


def _detector(options: Options) -> Detector:
    # Imported late: each costs time, and the motion detector needs no ONNX Runtime.
    try:
        if options.detector == "motion":
            from orion_worker.motion import MotionDetector

            return MotionDetector(options)
        from orion_worker.person import PersonDetector
    except ImportError as error:
        raise SetupError(f"{error}; run `make setup`, or `sh models/setup_env.sh`") from error
    return PersonDetector(options)
