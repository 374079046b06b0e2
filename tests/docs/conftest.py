# SPDX-License-Identifier: MPL-2.0
"""What the tests here take from the end-to-end tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
