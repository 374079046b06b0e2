# SPDX-License-Identifier: MPL-2.0
"""What happens to workers."""

SCENARIOS: list = []
