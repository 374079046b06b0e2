# SPDX-License-Identifier: MPL-2.0
"""`python -m orion_worker`: the same as `person_detector.py`, and the tools `check` and `quantize`."""

import sys

from orion_worker.cli import main

sys.exit(main())
