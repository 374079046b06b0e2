#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""The person detector as a worker process; `run_worker.sh` starts it in its environment."""

import os
import sys
from pathlib import Path

try:
    from orion_worker.cli import main
except ImportError as error:
    # Nothing of the package is sure to work here, its log least of all. 78 is EX_CONFIG of sysexits.h.
    remedy = os.environ.get("ORION_REMEDY", "run `make setup`, or `sh models/setup_env.sh`")
    print(f"[ERROR] {error}; {remedy}", file=sys.stderr)
    sys.exit(78)

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent / "weights"))
