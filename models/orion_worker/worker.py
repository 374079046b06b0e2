# SPDX-License-Identifier: MPL-2.0
"""The worker's loop: every message gets one answer, whatever is in it."""

import gc
import os
import signal
import time
from dataclasses import dataclass

import msgspec

from orion_worker import wire
from orion_worker.adapter import Adapter
from orion_worker.ahead import Ahead
from orion_worker.commands import acknowledge, refusal
from orion_worker.detector import Detector, Inference, Staged
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a frame, the time of its run in ms, and how many frames that was for."""

    found: Inference | Exception
    spent_ms: float
    batch: int


class Worker:
    """One detector on one channel.

    A second thread receives, decodes and prepares the next message, or a batch of them, while this one
    infers and answers, strictly in the order in which messages came. Everything that changes is changed here:
    counters, settings, the output.
    """

    def __init__(self, detector: Detector | Staged, channel: Channel, ring: Ring | None = None):
        self._detector = Adapter(detector)
        self._channel = channel
        self._ring = ring
        self._batch, self._batch_wait_s = 1, 0.0
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
        ready = wire.Ready(
            self._detector.name, VERSION, os.getpid(), files, load_ms, shm=shm, threads=threads
        )
        self._batch, wait_ms = self._detector.batching()
        self._batch_wait_s = wait_ms / 1e3
        if self._batch > 1:
            wait = wait_ms or msgspec.UNSET
            ready = msgspec.structs.replace(ready, max_batch=self._batch, batch_wait_ms=wait)
        self._write(ready)
        log.info("%s ready after %.0f ms", self._detector.name, load_ms)
        if self._channel.is_typed:
            log.info('type commands like {"command": "ping"}, one a line; Ctrl-D ends')
        ahead: Ahead[Message, Request] = Ahead(self._channel.receive, self._take_in, self._batch)
        ahead.start()
        try:
            while (request := ahead.take()) is not None:
                requests = [request, *self._companions(ahead, request)]
                answers = self._answer_all(requests)
                leases = [one.lease for one in requests if isinstance(one, Task) and one.lease]
                # Not held while waiting: a picture is megabytes.
                del request, requests
                if self._ring:
                    for lease in leases:
                        self._ring.give_back(lease)
                self._channel.write(b"".join(answers))
        except StreamError as error:
            self._write(wire.ErrorMessage(error.code, str(error)))
            raise
        finally:
            ahead.close()
        log.info("end of input after %d frames", self._frames["received"])

    def _take_in(self, message: Message) -> Request:
        return take_in(message, self._detector, self._ring)

    def _companions(self, ahead: Ahead[Message, Request], first: Request) -> list[Request]:
        # What can be answered with it. Those that are errors already do not separate the others.
        if self._batch == 1 or not isinstance(first, Task):
            return []
        key = self._detector.batch_key(first.prepared)

        def suits(other: Request) -> bool:
            if isinstance(other, Task):
                return self._detector.batch_key(other.prepared) == key
            return isinstance(other, MessageError)

        return ahead.take_more(self._batch - 1, suits, self._batch_wait_s)

    def _answer_all(self, requests: list[Request]) -> list[bytes]:
        tasks = [request for request in requests if isinstance(request, Task)]
        if len(tasks) < 2:
            return [self._answer(request) for request in requests]
        start = time.perf_counter()
        try:
            found = self._detector.finish_batch([task.prepared for task in tasks])
        except Exception as error:  # which of them it was shows when they are alone
            log.warning("%d frames at once: %s: %s; one by one now", len(tasks), type(error).__name__, error)
            return [self._answer(request) for request in requests]
        spent_ms = 1e3 * (time.perf_counter() - start)
        outcomes = iter([Outcome(one, spent_ms, len(tasks)) for one in found])
        # An error is the answer already.
        return [self._answer(one, next(outcomes) if isinstance(one, Task) else None) for one in requests]

    def _answer(self, request: Request, outcome: "Outcome | None" = None) -> bytes:
        if isinstance(request, wire.Command):
            return self._acknowledge(request)
        if isinstance(request, Task):
            try:
                result = self._result(request, outcome or self._infer(request))
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

    def _infer(self, task: Task) -> "Outcome":
        start = time.perf_counter()
        found: Inference | Exception
        try:
            found = self._detector.finish(task.prepared)
        except Exception as error:
            found = error
        return Outcome(found, 1e3 * (time.perf_counter() - start), 1)

    def _result(self, task: Task, outcome: "Outcome") -> bytes:
        inference = outcome.found
        try:
            if isinstance(inference, Exception):
                raise inference
            # The detector's own stages include its preparation.
            before_ms = task.decode_ms + (0.0 if inference.stages else task.prepare_ms)
            spent_ms = task.decode_ms + task.prepare_ms + outcome.spent_ms
            named = (self._detector.result_type, task.meta, task.size)
            return self._packed(result_message(*named, inference, before_ms, spent_ms, outcome.batch))
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
