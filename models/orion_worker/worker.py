# SPDX-License-Identifier: MPL-2.0
"""The worker's loop: every message gets one answer, whatever is in it."""

import os
import re
import signal
import time

from orion_worker import images, wire
from orion_worker.commands import acknowledge
from orion_worker.detector import Detector
from orion_worker.errors import MessageError, StreamError, WorkerError
from orion_worker.framing import Message
from orion_worker.log import configure, log
from orion_worker.results import attention_of, result_message
from orion_worker.stdio import Channel
from orion_worker.version import VERSION

# It becomes a level of an MQTT topic.
_RESULT_TYPE = re.compile(r"[a-z0-9_]+")


def run(detector: Detector, channel: Channel | None = None) -> int:
    """Serve a detector on standard input and output until the input ends.

    Returns the exit status: 0 at the end of the input or when the host has gone, else the
    `exit_status` of the error, which has been logged. Standard output belongs to the protocol from
    here on; what the detector prints goes to standard error.
    """
    if channel is None:
        configure()
    _set_signals()
    try:
        Worker(detector, channel or Channel.claim()).serve()
    except BrokenPipeError:
        log.debug("the host has closed our standard output")
    except WorkerError as error:
        log.error("%s", error)
        return error.exit_status
    except Exception as error:
        log.error("internal error: %s: %s", type(error).__name__, error)
        log.debug("traceback", exc_info=error)
        return WorkerError.exit_status
    return 0


class Worker:
    """One detector on one channel."""

    def __init__(self, detector: Detector, channel: Channel):
        self._detector = detector
        self._channel = channel
        self._frames = {"received": 0, "results": 0, "errors": 0}

    def serve(self) -> None:
        """Load, announce, answer until the input ends.

        Raises:
            WorkerError: the detector cannot start or the input stream is broken.
            BrokenPipeError: the host has gone.
        """
        if not _RESULT_TYPE.fullmatch(self._detector.result_type):
            text = f"result type {self._detector.result_type!r}: only a to z, 0 to 9 and _ may be in it"
            raise WorkerError(text)
        start = time.perf_counter()
        models = self._detector.load()
        load_ms = round(1e3 * (time.perf_counter() - start), 3)
        files = wire.Models(models.size, models.file_640, models.file_320, dict(models.sha256))
        self._send(wire.Ready(self._detector.name, VERSION, os.getpid(), files, load_ms))
        log.info("%s ready after %.0f ms", self._detector.name, load_ms)
        try:
            while (message := self._channel.receive()) is not None:
                self._send(self._answer(message))
        except StreamError as error:
            self._send(wire.ErrorMessage(error.code, str(error)))
            raise
        log.info("end of input after %d frames", self._frames["received"])

    def _answer(self, message: Message) -> wire.Outgoing:
        try:
            request = wire.decode_typed(message.body) if message.typed else wire.decode(message.body)
            if isinstance(request, wire.Command):
                return acknowledge(request, self._detector, self._frames)
            self._frames["received"] += 1
            result = self._infer(request)
            self._frames["results"] += 1
            return result
        except MessageError as error:
            self._frames["errors"] += error.code != "bad_message"
            log.debug("%s: %s", error.code, error)
            return wire.ErrorMessage(error.code, str(error), error.frame_seq)

    def _infer(self, frame: wire.Frame) -> wire.Result:
        start = time.perf_counter()
        seq = frame.meta.seq
        attention = attention_of(frame)
        try:
            image = images.decode(frame.frame_data, frame.format, frame.width, frame.height)
        except ValueError as error:
            raise MessageError("bad_frame", str(error), seq) from error
        decoded = time.perf_counter()
        try:
            inference = self._detector.infer(image, attention)
            size = (image.shape[1], image.shape[0])
            spent = [1e3 * (moment - start) for moment in (decoded, time.perf_counter())]
            return result_message(self._detector.result_type, frame, size, inference, *spent)
        except MessageError as error:
            raise MessageError(error.code, str(error), seq) from error
        except Exception as error:  # a detector's fault must cost this frame only
            log.debug("frame %d", seq, exc_info=error)
            raise MessageError("inference_failed", f"{type(error).__name__}: {error}", seq) from error

    def _send(self, message: wire.Outgoing) -> None:
        self._channel.send(wire.encode(message))


def _set_signals() -> None:
    # The host stops us through standard input; Ctrl-C in its terminal is the host's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The default action ends the process at once, even inside a long native call.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
