# SPDX-License-Identifier: MPL-2.0
"""The README's pipeline of two kinds of workers on one camera."""

import itertools
import os
import signal

from readme import command
from running import wait_for, workers

PERSON, MOTION = "care/inferences/orion/person_detection", "care/inferences/orion/motion_detection"


def of_topic(messages: list, wanted: str) -> list[dict]:
    return [result for topic, result in messages if topic == wanted]


def assert_every_frame_is_accounted_for(results: list[dict]) -> None:
    for before, after in itertools.pairwise(results):
        missing = after["frame_seq"] - before["frame_seq"] - 1
        assert missing == sum(after["lost_since_last"].values()), (before["frame_seq"], after)


def test_a_person_worker_that_hangs_or_dies_costs_the_motion_worker_nothing(run, broker, listener, camera):
    program = run(
        shell=command("persons and motion with gst-launch"),
        RTSP_URL=camera("--pattern", "walk"),
        MQTT_URI=broker.uri,
    )
    wait_for("both publish", lambda: {topic for topic, _ in listener.messages} == {PERSON, MOTION})
    listener.wait_for(20)

    def person_worker() -> int | None:
        found = [pid for pid in workers(program.pid) if "motion" not in arguments(pid)]
        return found[0] if found else None

    victim = person_worker()
    os.kill(victim, signal.SIGSTOP)
    before = len(listener.messages)
    # What was on its way from the person worker may still come.
    heard = of_topic(listener.wait_for(25, after=before), MOTION)
    assert len(heard) >= 20
    assert not [result for result in heard if set(result["lost_since_last"]) - {"queue_full"}]
    os.kill(victim, signal.SIGKILL)
    wait_for("another person worker", lambda: person_worker() not in (None, victim))
    before = len(listener.messages)
    wait_for("persons again", lambda: len(of_topic(listener.messages[before:], PERSON)) >= 5)
    for topic in (PERSON, MOTION):
        assert_every_frame_is_accounted_for(of_topic(listener.messages, topic))
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(10) == 0, program.output


def arguments(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().decode().split("\0")
