# SPDX-License-Identifier: MPL-2.0
"""Makes INT8 models from a pair, with the frames of one's own camera, and judges them.

Start it with `python -m orion_worker quantize`; it needs the extra `quantize`.
"""
