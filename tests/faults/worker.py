# SPDX-License-Identifier: MPL-2.0
"""What workers do, and what is done to them."""

import os
import resource
import signal

from scenario import Scenario, Told, event, every, health, lost, nothing, presence
from stage import HANG, Stage


def order(what: str):
    return lambda stage: stage.order(what)


def strike(number: int):
    return lambda stage: stage.strike_workers(number)


def strike_first(stage: Stage) -> None:
    os.kill(stage.workers()[0], HANG)


def misbehaves(name: str, what: str, injected: str, told: Told, **more) -> Scenario:
    """The bad worker does it with every frame until it is told to stop."""
    return Scenario(
        name=name,
        injected=injected,
        fault=order(what),
        told=told,
        end=order(""),
        bad_worker=True,
        **{"back": 12.0, **more},
    )


def leak(stage: Stage) -> None:
    """20 MB a frame, until there is no more."""
    (pid,) = stage.workers()
    limit = 600 << 20
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    stage.order("leak")


def cannot_start(what: str):
    """The worker dies, and those after it do not come up."""

    def act(stage: Stage) -> None:
        stage.order(what)
        stage.strike_workers(signal.SIGKILL)

    return act


GONE = event("worker_lost")
FRUITLESS = every(presence("evidence_too_old"), health("no frame was looked at .* workers give no results"))

SCENARIOS = [
    Scenario(
        name="worker is killed",
        injected="SIGKILL, as by the kernel when memory is short",
        fault=strike(signal.SIGKILL),
        told=GONE,
    ),
    Scenario(
        name="worker is stopped",
        injected="SIGSTOP: it takes a frame and never answers",
        fault=strike(HANG),
        told=every(event("worker_lost"), lost("worker_restart")),
        within=8,
    ),
    Scenario(
        name="one of two workers is stopped",
        injected="the same for one of two processes: the other one goes on",
        config={"models": {"person_detector": {"workers": 2}}},
        fault=strike_first,
        told=lost("worker_restart"),
        within=8,
    ),
    misbehaves(
        "worker hangs", "hang", "it never answers again, nor do those after it", GONE, hold=2, back=20
    ),
    misbehaves("worker crashes", "crash", "a segmentation fault in the middle of a frame", GONE),
    misbehaves("worker leaves", "leave", "it ends with status 0 in the middle of a frame", GONE),
    misbehaves("worker writes text", "garbage", "a Python traceback where messages belong", GONE),
    misbehaves("worker ends within a message", "half", "half a message, then it ends", GONE),
    misbehaves("worker announces 4 GiB", "huge", "a message of impossible length", GONE),
    misbehaves(
        "worker answers another frame",
        "other",
        "answers with numbers of frames it was not given",
        GONE,
        within=8,
    ),
    misbehaves("worker answers twice", "twice", "each answer comes two times, for 2 s", nothing(), hold=2),
    misbehaves(
        "worker answers out of order",
        "late",
        "every second answer after the one that follows",
        lost("worker_error"),
    ),
    misbehaves(
        "worker is slow", "slow", "0.4 s a frame while 8 a second come, for 3 s", lost("queue_full"), hold=3
    ),
    misbehaves(
        "worker lies", "lie", "boxes of NaN, of infinite width, of negative height", FRUITLESS, within=8
    ),
    misbehaves(
        "worker sees things outside",
        "outside",
        "boxes that lie far outside the frame",
        FRUITLESS,
        within=8,
        short=True,
    ),
    misbehaves(
        "worker fails",
        "fail",
        "each frame is answered by an error",
        FRUITLESS,
        short=True,
        within=8,
    ),
    misbehaves(
        "worker shouts", "shout", "2000 warnings on stderr with each frame, for 3 s", nothing(), hold=3
    ),
    Scenario(
        name="worker leaks",
        injected="20 MB more with each frame until its memory is at an end (RLIMIT_AS 600 MB)",
        fault=leak,
        told=GONE,
        end=order(""),
        within=12,
        bad_worker=True,
        back=12,
    ),
    Scenario(
        name="worker cannot start again",
        injected="it dies, and each new one ends at once with a message for people; later it can",
        fault=cannot_start("refuse"),
        told=every(presence("no_worker"), health("no model in /nowhere")),
        end=order(""),
        hold=3,
        back=20,
        bad_worker=True,
    ),
    Scenario(
        name="worker reads no more",
        injected="it is ready and never reads what it is given",
        fault=order("deaf"),
        told=GONE,
        end=order(""),
        within=8,
        back=20,
        bad_worker=True,
    ),
]
