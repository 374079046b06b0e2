#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Train Orion's person detector; train.sh does that and everything before and after it.

An interrupted run goes on from its last checkpoint when the same command is given again.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from orion_train.cache import build
from orion_train.config import Config
from orion_train.network import parameter_count
from orion_train.run import Run


def main() -> int:
    """Run the command line; 0 when done, 2 when something was wrong with what it was given."""
    options = _options()
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = replace(
        Config(),
        seed=options.seed,
        steps=options.steps,
        batch=options.batch,
        optimiser=options.optimiser,
        without_teacher=options.without_teacher,
    )
    shards = options.shards or (1 if device.type == "cuda" else min(config.batch, os.cpu_count() or 1))
    try:
        cache = build(options.data, options.cache or options.run / "cache")
        run = Run(cache, config, options.run, device, shards, options.loaders)
        resumed = run.resume()
    except (OSError, ValueError) as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 2
    start = f"goes on at step {run.step}" if resumed else "starts"
    facts = f"{parameter_count(run.net)} parameters, {len(cache.pictures)} pictures"
    print(f"run {start}, {config.steps} steps of {config.batch} on {device}, {facts}", flush=True)
    run.train(options.until)
    print(f"trained to step {run.step} in {run.seconds:.0f} s", flush=True)
    return 0


def _options() -> argparse.Namespace:
    usual = Config()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.json and images_*.tar")
    parser.add_argument("--run", type=Path, required=True, help="folder of this run: checkpoint, losses.csv")
    parser.add_argument("--cache", type=Path, help="folder of the decoded pictures (2 GB; default: in --run)")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--batch", type=int, default=usual.batch)
    parser.add_argument("--optimiser", choices=("muon", "adamw"), default=usual.optimiser)
    parser.add_argument("--without-teacher", action="store_true", help="leave machine-labelled pictures out")
    parser.add_argument("--until", type=int, help="stop at this step; the schedule stays that of --steps")
    parser.add_argument("--device", help="cpu or cuda; default: a GPU if there is one")
    parser.add_argument("--shards", type=int, help="default: one per core, one on a GPU")
    parser.add_argument("--loaders", type=int, default=max(1, min(12, (os.cpu_count() or 2) - 1)))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
