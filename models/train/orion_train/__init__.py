# SPDX-License-Identifier: MPL-2.0
"""Training of Orion's own person detector; see ../TRAINING.md."""
