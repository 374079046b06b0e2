# SPDX-License-Identifier: MPL-2.0
"""When something is to happen, and to whom."""

import random
from dataclasses import asdict, dataclass, field

QUIET_S = 30.0
"""Nothing happens in so many seconds at the start, nor twice as many at the end (tenths of a short run)."""


@dataclass
class Strike:
    """One of them."""

    at_s: float
    kind: str
    camera: str
    seed: int
    began_s: float = 0.0
    lasted_s: float = 0.0
    well_s: float | None = None
    """Until all was well again, after its end."""
    did: str = ""
    problem: str = ""
    rng: random.Random = field(default_factory=random.Random, repr=False)


def plan(seed: int, seconds: float, every: float, kinds: list[str], cameras: list[str]) -> list[Strike]:
    """At random times, about one in `every` seconds; all kinds come before one comes again."""
    rng = random.Random(seed)
    quiet = min(QUIET_S, seconds / 10)
    at, bag, strikes = quiet + rng.uniform(0, every), [], []
    while at < seconds - 2 * quiet:
        if not bag:
            bag = rng.sample(kinds, len(kinds))
        own = rng.getrandbits(32)
        strikes.append(Strike(at, bag.pop(), rng.choice(cameras), own, rng=random.Random(own)))
        at += rng.uniform(0.5, 1.5) * every
    return strikes


def row(strike: Strike) -> dict[str, object]:
    return {key: value for key, value in asdict(strike).items() if key != "rng"}
