# SPDX-License-Identifier: MPL-2.0
"""A training run: from its configuration and the pictures to averaged weights."""

import csv
import ctypes
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from orion_train import checkpoint
from orion_train.average import Average
from orion_train.batches import Batch, Batches
from orion_train.cache import Cache
from orion_train.config import Config
from orion_train.network import PersonNet
from orion_train.optimiser import optimisers
from orion_train.phases import rate_factor
from orion_train.shards import Shards

SAVE_SECONDS = 90.0
CURVE = "losses.csv"
_COLUMNS = ("step", "loss", "score", "box", "side", "rate", "seconds")
_MAX_NORM = 10.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Run:
    """Training that can be stopped at any time and goes on from its directory's checkpoint."""

    def __init__(
        self, cache: Cache, config: Config, directory: Path, device: torch.device, shards: int, loaders: int
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.directory, self.device, self.loaders = config, directory, device, loaders
        self.batches = Batches(cache, config)
        self.net = PersonNet(config.shape).to(device, memory_format=torch.channels_last)
        self.average = Average(self.net, config.ema_decay)
        self.optimisers = optimisers(
            self.net, config.optimiser, config.matrix_rate, config.rate, config.decay
        )
        self.step, self.seconds = 0, 0.0
        self.changes: list[list[int]] = []
        """Each change of `steps` under way: at which step, from, to."""
        self.shards = Shards(self.net, shards, device, config.box_gain)
        directory.mkdir(parents=True, exist_ok=True)

    def resume(self) -> bool:
        """Go on from the directory's checkpoint, if there is one.

        Only `steps` may differ from the checkpoint's: the rest of the run is then stretched or shortened,
        and `changes` tells at which step it was.

        Raises:
            ValueError: it belongs to a run of another configuration.
        """
        file = self.directory / checkpoint.NAME
        if not file.exists():
            return False
        state = checkpoint.load(file)
        theirs = Config.of(state["config"])
        if replace(theirs, steps=self.config.steps) != self.config:
            raise ValueError(f"{file} is of another run: {state['config']}; choose another run directory")
        self.net.load_state_dict(state["net"])
        self.average.net.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]
        self.changes = [*state.get("changes", [])]
        if theirs.steps != self.config.steps:
            self.changes.append([self.step, theirs.steps, self.config.steps])
        return True

    def save(self) -> None:
        """Write a checkpoint."""
        optimiser_states = [optimiser.state_dict() for optimiser in self.optimisers]
        place = {"step": self.step, "seconds": self.seconds, "changes": self.changes}
        state = {"config": self.config.plain(), **place}
        weights = {"net": self.net.state_dict(), "average": self.average.net.state_dict()}
        checkpoint.save(self.directory, {**state, **weights, "optimisers": optimiser_states})

    def train(self, until: int | None = None) -> None:
        """Train to the end of the run, or to step `until`, with a checkpoint now and then."""
        end = min(self.config.steps, until if until is not None else self.config.steps)
        loader = DataLoader(
            self.batches,
            batch_size=None,
            sampler=range(self.step, end),
            num_workers=self.loaders,
            prefetch_factor=4 if self.loaders else None,
            collate_fn=_same,
            worker_init_fn=_start_loader,
        )
        curve = _Curve(self.directory / CURVE, self.step)
        saved = mark = time.monotonic()
        for net in self.shards.nets:
            net.train()
        for batch in loader:
            values = self._learn(batch)
            now = time.monotonic()
            self.seconds, mark = self.seconds + now - mark, now
            curve.add({"step": batch.step, **values, "seconds": round(self.seconds, 2)})
            if now - saved > SAVE_SECONDS:
                self.save()
                curve.flush()
                saved = now
        self.save()
        curve.flush()

    def _learn(self, batch: Batch) -> dict[str, Any]:
        factor = rate_factor(self.step, self.config.steps, self.config.warm_up)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor
        values = self.shards.learn(batch)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), _MAX_NORM)
        for optimiser in self.optimisers:
            optimiser.step()
        self.average.update(self.net, self.step)
        self.step += 1
        return {**values, "side": batch.images.shape[1], "rate": factor}


class _Curve:
    """The loss of each step as CSV; what a killed run wrote after its checkpoint is dropped first."""

    def __init__(self, file: Path, step: int) -> None:
        kept: list[dict[str, str]] = []
        if step and file.exists():
            with file.open(newline="") as stream:
                rows = [row for row in csv.DictReader(stream) if None not in row.values()]
            kept = [row for row in rows if int(row["step"]) < step]
        self._stream = file.open("w", newline="", buffering=1)
        self._writer = csv.DictWriter(self._stream, _COLUMNS)
        self._writer.writeheader()
        self._writer.writerows(kept)
        self._stream.flush()

    def add(self, row: dict[str, Any]) -> None:
        self._writer.writerow(row)

    def flush(self) -> None:
        self._stream.flush()


def _same(batch: Batch) -> Batch:
    return batch


def _start_loader(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if sys.platform == "linux":
        # A loader that waits for room in its queue would outlive a killed run.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
