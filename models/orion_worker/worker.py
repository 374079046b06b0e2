# SPDX-License-Identifier: MPL-2.0
"""The worker's loop: every message gets one answer, whatever is in it."""

import gc
import os
import signal
import time

import msgspec

from orion_worker import wire
from orion_worker.adapter import Adapter
from orion_worker.ahead import Ahead
from orion_worker.commands import acknowledge, refusal
from orion_worker.detector import Detector, Staged
from orion_worker.errors import MessageError, StreamError, WorkerError
from orion_worker.framing import Message, frame
from orion_worker.intake import Request, Task, failed, take_in
from orion_worker.log import configure, log
from orion_worker.results import result_message
from orion_worker.ring import Ring
from orion_worker.stdio import Channel
from orion_worker.version import VERSION

# What encoding a detector's own values may raise: no such type, beyond 64 bits or 64 MiB, endless nesting.
_UNSENDABLE = (TypeError, ValueError, OverflowError, RecursionError)


def run(detector: Detector | Staged, channel: Channel | None = None) -> int:
    """Serve a detector on standard input and output until the input ends.

    Returns the exit status: 0 at the end of the input or when the host has gone, else the
    `exit_status` of the error, which has been logged. Standard output belongs to the protocol from
    here on; what the detector prints goes to standard error. Flags that the host adds to the command
    line are left alone; `options` reads them.
    """
    if channel is None:
        configure()
    try:
        channel = channel or Channel.claim()
        _set_signals(ctrl_c_ends=channel.is_typed)
        Worker(detector, channel, Ring.claim()).serve()
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
    """One detector on one channel.

    A second thread receives, decodes and prepares the next message while this one infers and
    answers, strictly in the order in which messages came. Everything that changes is changed here:
    counters, settings, the output.
    """

    def __init__(self, detector: Detector | Staged, channel: Channel, ring: Ring | None = None):
        self._detector = Adapter(detector)
        self._channel = channel
        self._ring = ring
        self._frames = {"received": 0, "results": 0, "errors": 0, "shm": 0}

    def serve(self) -> None:
        """Load, announce, answer until the input ends.

        Raises:
            WorkerError: the detector cannot start or the input stream is broken.
            BrokenPipeError: the host has gone.
        """
        start = time.perf_counter()
        models = self._detector.load()
        # What is loaded stays; the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        load_ms = round(1e3 * (time.perf_counter() - start), 3)
        files = wire.Models(models.size, models.file_640, models.file_320, dict(models.sha256))
        shm = True if self._ring else msgspec.UNSET
        threads = self._detector.threads or msgspec.UNSET
        self._write(
            wire.Ready(self._detector.name, VERSION, os.getpid(), files, load_ms, shm=shm, threads=threads)
        )
        log.info("%s ready after %.0f ms", self._detector.name, load_ms)
        if self._channel.is_typed:
            log.info('type commands like {"command": "ping"}, one a line; Ctrl-D ends')
        ahead: Ahead[Message, Request] = Ahead(self._channel.receive, self._take_in)
        ahead.start()
        try:
            while (request := ahead.take()) is not None:
                answer = self._answer(request)
                lease = request.lease if isinstance(request, Task) else None
                # Not held while waiting: a picture is megabytes.
                del request
                if lease and self._ring:
                    self._ring.give_back(lease)
                self._channel.write(answer)
        except StreamError as error:
            self._write(wire.ErrorMessage(error.code, str(error)))
            raise
        finally:
            ahead.close()
        log.info("end of input after %d frames", self._frames["received"])

    def _take_in(self, message: Message) -> Request:
        return take_in(message, self._detector, self._ring)

    def _answer(self, request: Request) -> bytes:
        if isinstance(request, wire.Command):
            return self._acknowledge(request)
        if isinstance(request, Task):
            try:
                result = self._infer(request)
            except MessageError as error:
                request = error
            else:
                self._frames["received"] += 1
                self._frames["results"] += 1
                self._frames["shm"] += request.lease is not None
                return result
        is_frame = request.code != "bad_message"
        self._frames["received"] += is_frame
        self._frames["errors"] += is_frame
        log.debug("%s: %s", request.code, request)
        return self._packed(wire.ErrorMessage(request.code, str(request), request.frame_seq))

    def _acknowledge(self, command: wire.Command) -> bytes:
        ack = acknowledge(command, self._detector, self._frames)
        try:
            return self._packed(ack)
        except _UNSENDABLE as error:
            return self._packed(refusal(command, f"the answer cannot be sent: {error}"))

    def _infer(self, task: Task) -> bytes:
        start = time.perf_counter()
        try:
            inference = self._detector.finish(task.prepared)
            # The detector's own stages include its preparation.
            before_ms = task.decode_ms + (0.0 if inference.stages else task.prepare_ms)
            spent_ms = task.decode_ms + task.prepare_ms + 1e3 * (time.perf_counter() - start)
            named = (self._detector.result_type, task.meta, task.size)
            return self._packed(result_message(*named, inference, before_ms, spent_ms))
        except Exception as error:  # a detector's fault must cost this frame only
            raise failed(task.meta.seq, error) from error

    def _write(self, message: wire.Outgoing) -> None:
        self._channel.write(self._packed(message))

    def _packed(self, message: wire.Outgoing) -> bytes:
        if self._channel.is_read_by_person:
            return wire.encode_line(message)
        return frame(wire.encode(message))


def _set_signals(ctrl_c_ends: bool) -> None:
    # The host stops us through standard input; Ctrl-C in its terminal is the host's to handle.
    signal.signal(signal.SIGINT, signal.SIG_DFL if ctrl_c_ends else signal.SIG_IGN)
    # The default action ends the process at once, even inside a long native call.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
