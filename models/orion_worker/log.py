# SPDX-License-Identifier: MPL-2.0
"""Log lines `[LEVEL] message` on standard error, the form the host maps to its own levels."""

import fcntl
import logging
import os
from typing import TextIO

LEVELS = ("error", "warning", "info", "debug")

log = logging.getLogger("orion_worker")


class OneLine(logging.Formatter):
    """Formats a record, traceback included, as one line, so that the level prefix covers all of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as `[LEVEL] text` without line breaks; a level of one's own counts as the one below."""
        text = " | ".join(line.strip() for line in super().format(record).splitlines() if line.strip())
        # The standard levels are 10, 20, ... 50.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        return f"[{logging.getLevelName(level)}] {text}"


def configure(level: str = "info") -> None:
    """Send everything from `level` (one of `LEVELS`) up to standard error.

    Calling it again only changes the level.
    """
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, OneLine) for handler in root.handlers):
        handler = logging.StreamHandler(private_stream(2))
        handler.setFormatter(OneLine())
        root.addHandler(handler)
    # A host that has closed our standard error must not turn every log line into a traceback.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    root.setLevel(level.upper())


def private_stream(descriptor: int) -> TextIO:
    """Text, line by line, to a private duplicate of a descriptor; to nowhere if that is closed.

    While a picture is decoded, descriptor 2 is a buffer (`native_log`); what another thread logs
    meanwhile must neither get lost nor be taken for libjpeg's. UTF-8 whatever the locale, because
    the host reads that, and no text can fail.
    """
    try:
        copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        copy = os.open(os.devnull, os.O_WRONLY)
    return open(copy, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
