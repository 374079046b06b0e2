# SPDX-License-Identifier: MPL-2.0
"""A fleet of daemons without video: what they say and answer over MQTT, and what the broker makes of it."""
