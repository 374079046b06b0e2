# SPDX-License-Identifier: MPL-2.0
"""Moments as the contract writes them: RFC 3339, UTC, nanoseconds."""

import time
from datetime import datetime, timezone

_NANOSECONDS = 1_000_000_000
# Digits that `datetime` reads: of nanoseconds the last three are left out.
_MICROSECONDS = 26


def text(nanoseconds: int) -> str:
    """A moment in nanoseconds since 1970 as text."""
    whole, part = divmod(nanoseconds, _NANOSECONDS)
    date = time.gmtime(whole)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', date)}.{part:09d}Z"


def now() -> str:
    """This moment."""
    return text(time.time_ns())


def seconds(moment: str) -> float:
    """Seconds since 1970 of a moment in text, to the microsecond.

    Raises:
        ValueError: It is no such text.
    """
    read = datetime.fromisoformat(moment[:_MICROSECONDS])
    return read.replace(tzinfo=timezone.utc).timestamp()
