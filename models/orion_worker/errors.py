# SPDX-License-Identifier: MPL-2.0
"""Errors of the worker: those that end the process and those that answer one message."""


class WorkerError(Exception):
    """A failure that ends the worker; `exit_status` tells the host which kind it was."""

    exit_status = 70


class UsageError(WorkerError):
    """A flag is unknown or its value is out of range."""

    exit_status = 2


class ModelError(WorkerError):
    """A model file is missing, unreadable or of a shape that no decoder here understands."""

    exit_status = 3


class ProviderError(WorkerError):
    """The execution provider asked for is unknown or not usable on this machine."""

    exit_status = 4


class StreamError(WorkerError):
    """The byte stream from the host cannot be followed any further."""

    exit_status = 5

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class MessageError(Exception):
    """One message is refused with an `error` answer; the stream goes on.

    `code` is one of `bad_message`, `bad_frame`, `inference_failed`.
    """

    def __init__(self, code: str, message: str, frame_seq: int | None = None):
        super().__init__(message)
        self.code = code
        self.frame_seq = frame_seq


class SetupError(WorkerError):
    """The Python environment lacks something; the same status that `run_worker.sh` uses."""

    exit_status = 78


class CommandError(Exception):
    """A command is refused with an `ack` of status `error`; nothing has changed."""
