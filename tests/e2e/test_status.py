# SPDX-License-Identifier: MPL-2.0
"""What `mosquitto_sub -v` shows of a whole pipeline that comes, dies and ends."""

import os
import shutil
import signal
from collections.abc import Callable

import pytest
from mqtt import Broker
from running import Program, wait_for

TOPIC = "care/status/ward-3"


@pytest.fixture
def pipeline(run: Callable[..., Program], broker: Broker) -> Callable[..., Program]:
    """Starts a pipeline with a status; it may end by itself after some frames."""

    def start(frames: int = -1) -> Program:
        return run(
            "gst-launch-1.0", "-e", "videotestsrc", "is-live=true", f"num-buffers={frames}",
            "!", "video/x-raw,width=64,height=48,framerate=10/1", "!", "jpegenc",
            "!", "orionpyinfer", "detector=motion",
            "!", "orionmqttsink", f"uri={broker.uri}", "status-topic=care/status/{instance_id}",
            "instance-id=ward-3", "max-reconnect-interval=200000000",
        )  # fmt: skip

    return start


@pytest.fixture
def subscriber(run: Callable[..., Program], broker: Broker) -> Callable[[], Program]:
    """Starts `mosquitto_sub -v`, which comes back by itself after a restart of the broker."""

    def start() -> Program:
        binary = shutil.which("mosquitto_sub")
        assert binary, "mosquitto-clients are missing; run make setup"
        return run(binary, "-v", "-p", broker.port, "-t", "care/status/#", "-F", "%r %t %p")

    return start


def statuses(subscriber: Program) -> list[str]:
    return [line.split(" ", 1)[1].removeprefix(f"{TOPIC} ") for line in subscriber.output.splitlines()]


def wait_for_statuses(subscriber: Program, expected: list[str]) -> None:
    wait_for(
        f"{expected} in {subscriber.output!r}", lambda: statuses(subscriber)[-len(expected) :] == expected
    )


def retained(subscriber: Callable[[], Program]) -> str:
    """What somebody sees who comes only now."""
    newcomer = subscriber()
    line = newcomer.wait_for_line(rf"^1 {TOPIC} (\w+)$")
    newcomer.kill()
    return line.group(1)


def heard_and_retained(subscriber: Callable[[], Program]) -> str:
    """The same, once anything was said at all."""
    first = subscriber()
    first.wait_for_line(TOPIC)
    first.kill()
    return retained(subscriber)


def test_a_pipeline_is_online_then_offline_when_killed_and_stopped_when_ended(pipeline, subscriber):
    everything = subscriber()
    program = pipeline()
    wait_for_statuses(everything, ["online"])
    assert retained(subscriber) == "online"
    os.killpg(program.pid, signal.SIGKILL)
    wait_for_statuses(everything, ["online", "offline"])
    assert retained(subscriber) == "offline"

    program = pipeline(frames=20)
    assert program.wait(30) == 0, program.output
    wait_for_statuses(everything, ["online", "offline", "online", "stopped"])
    assert retained(subscriber) == "stopped"


def test_it_is_right_again_after_the_broker_forgot_everything(pipeline, subscriber, broker):
    program = pipeline()
    newcomer = subscriber()
    newcomer.wait_for_line(rf"{TOPIC} online")
    for _ in range(3):
        # Killed without persistence: nothing retained, no session.
        broker.stop()
        broker.start()
        assert heard_and_retained(subscriber) == "online"
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(10) == 0, program.output
    assert retained(subscriber) == "stopped"
    broker.stop()
    broker.start()
    program = pipeline()
    assert heard_and_retained(subscriber) == "online"
    os.killpg(program.pid, signal.SIGKILL)
    wait_for("offline", lambda: retained(subscriber) == "offline")
