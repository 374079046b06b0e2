# SPDX-License-Identifier: MPL-2.0
"""Log lines `[LEVEL] message` on standard error, the form the host maps to its own levels."""

import logging
import sys

LEVELS = ("error", "warning", "info", "debug")

log = logging.getLogger("orion_worker")


class OneLine(logging.Formatter):
    """Formats a record, traceback included, as one line, so that the level prefix covers all of it."""

    def __init__(self) -> None:
        super().__init__("[%(levelname)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record as text without line breaks."""
        return " | ".join(line.strip() for line in super().format(record).splitlines() if line.strip())


def configure(level: str = "info") -> None:
    """Send everything from `level` (one of `LEVELS`) up to standard error.

    Calling it again only changes the level.
    """
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, OneLine) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(OneLine())
        root.addHandler(handler)
    # A host that has closed our standard error must not turn every log line into a traceback.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    root.setLevel(level.upper())
