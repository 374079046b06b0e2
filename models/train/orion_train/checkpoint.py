# SPDX-License-Identifier: MPL-2.0
"""Where a run stands, in one file that is replaced as a whole."""

import os
from pathlib import Path
from typing import Any

import torch

NAME = "checkpoint.pt"


def save(directory: Path, state: dict[str, Any]) -> None:
    """Write the state; whoever reads at any time finds the last one or this one, never half of it."""
    new = directory / f"{NAME}.new"
    torch.save(state, new)
    with new.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(new, directory / NAME)


def load(file: Path) -> dict[str, Any]:
    """The state in a checkpoint, on the CPU; only tensors and plain values are read, no code.

    Raises:
        FileNotFoundError: there is none.
    """
    return torch.load(file, map_location="cpu", weights_only=True)
