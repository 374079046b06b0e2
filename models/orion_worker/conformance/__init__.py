# SPDX-License-Identifier: MPL-2.0
"""Plays the host against a worker and says which rules of protocol 1 it keeps.

Start it with `python -m orion_worker check`. The worker may be written in any language; only the
protocol is used. `checks` lists the rules, `host` is the other end of the worker's pipes.
"""
