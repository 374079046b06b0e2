# SPDX-License-Identifier: MPL-2.0
"""`python -m orion_worker` is the same as `person_detector.py`."""

import sys

from orion_worker.cli import main

sys.exit(main())
