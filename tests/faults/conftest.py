# SPDX-License-Identifier: MPL-2.0
"""What the tests here take from the end-to-end tests."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

os.environ.setdefault("ORION_MODEL_CACHE", "off")

# A shell that runs this in the background has Ctrl-C ignored, which programs under test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
