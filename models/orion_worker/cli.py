# SPDX-License-Identifier: MPL-2.0
"""What the command line starts: a shipped worker, the check of any worker, or the making of INT8 models."""

import os
import sys
from pathlib import Path

from orion_worker.detector import Detector
from orion_worker.errors import SetupError, WorkerError
from orion_worker.log import configure, log
from orion_worker.options import DEFAULT_MODEL_DIR, Options, parse
from orion_worker.stdio import Channel
from orion_worker.worker import run


def main(default_model_dir: Path = DEFAULT_MODEL_DIR) -> int:
    """Run what the command line describes, a worker or a tool; returns the exit status."""
    if sys.argv[1:2] == ["check"]:
        from orion_worker.conformance.cli import main as check

        return check(sys.argv[2:])
    if sys.argv[1:2] == ["quantize"]:
        from orion_worker.quantize.cli import main as quantize

        return quantize(sys.argv[2:])
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
        remedy = os.environ.get("ORION_REMEDY", "run `make setup`, or `sh models/setup_env.sh`")
        remedy += ", or `pip install 'orion-worker[person]'`"
        raise SetupError(f"{error}; {remedy}") from error
    return PersonDetector(options)
