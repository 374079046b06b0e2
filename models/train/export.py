#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Write the ONNX files of a run's weights as they are in its checkpoint now."""

import argparse
import sys
from pathlib import Path

from orion_train import heldout
from orion_train.deliver import PRECISION, deliver
from orion_worker.errors import WorkerError


def main() -> int:
    """Run the command line; 0 when done, 2 when something was wrong with what it was given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of a run")
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.json and images_*.tar")
    parser.add_argument("--judge", type=Path, help="persons.json of photos that must not set the scores")
    parser.add_argument("--out", type=Path, required=True, help="folder for the ONNX files")
    parser.add_argument("--precision", type=float, default=PRECISION, help="at a score of 0.5, held out")
    parser.add_argument("--weights", choices=("average", "net"), default="average", help="which to export")
    options = parser.parse_args()
    try:
        photos = heldout.build(options.data, options.checkpoint.parent / "held_out", options.judge)
        lines = deliver(options.checkpoint, photos, options.out, options.precision, options.weights)
        for line in lines:
            print(line)
    except (OSError, ValueError, WorkerError) as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
