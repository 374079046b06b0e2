# SPDX-License-Identifier: MPL-2.0
"""What happens to brokers."""

SCENARIOS: list = []
