# SPDX-License-Identifier: MPL-2.0
"""Whether a camera costs more where there are many: 1 to 16 of them on one worker that all share."""

import argparse
from collections.abc import Iterator

import cameras
from rows import Row, Target
from setting import Setting

BENCH = "cameras"
COUNTS = (1, 2, 4, 8, 16)
MOST = 1.05
"""Least growth that noise alone does not explain."""


def measure(setting: Setting) -> Iterator[Row]:
    """CPU of the daemon, its worker and its broker, a camera; against that of a single camera."""
    seconds = 12 if setting.quick else 60
    options = argparse.Namespace(
        data=setting.data,
        built=setting.built,
        model="yoloxn_fp32",
        fps=5,
        rate=1.0,
        seconds=seconds,
        dies_every=0,
    )
    alone = 0.0
    for count in COUNTS:
        setting.others.settle()
        outcome = cameras.observe(options, count, "1")
        share = 100 * outcome.share
        alone = alone or share
        note = f"640x360 at 5 Hz, 1 look a second, {seconds} s"
        note += "" if outcome.good else "; NOT every camera had its rate"
        yield Row(
            BENCH,
            f"{count} on one pool, each; partner: a single one",
            "% of a core",
            share,
            alone,
            share / alone,
            Target("ratio", "at most", MOST) if count > 1 else None,
            note,
        )
