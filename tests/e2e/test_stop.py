# SPDX-License-Identifier: MPL-2.0
"""It stops in time whatever hangs, with every frame accounted for and no process left."""

import os
import re
import signal
import time
from collections.abc import Callable

import pytest
from daemon import Daemon
from running import BUILT, Program, workers

TIMEOUT = 5.0
MARGIN = 0.5
"""Seconds beyond shutdown_timeout_s: the process has to be started and waited for as well."""

TROUBLES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "the worker hangs": ("worker",),
    "the broker is gone": ("broker",),
    "the camera hangs": ("camera",),
    "all three": ("worker", "broker", "camera"),
}


class Scene:
    """A daemon at 30 Hz on an RTSP camera, and what can happen to those around it."""

    def __init__(self, daemon: Daemon, camera: Program) -> None:
        self.daemon, self.camera = daemon, camera

    def worker(self) -> None:
        for pid in workers(self.daemon.program.pid):
            os.kill(pid, signal.SIGSTOP)
        self.daemon.wait_until("a frame that the worker keeps", self.frames_wait)

    def frames_wait(self) -> bool:
        """Frames come, but no results."""
        before = self.daemon.done("get_status")["data"]["state"]
        self.daemon.wait_until("frames", lambda: self.received() >= before["stream"]["frames"] + 5)
        after = self.daemon.done("get_status")["data"]["state"]
        emitted = [state["workers"][0]["inferences_emitted"] for state in (before, after)]
        return emitted[0] == emitted[1]

    def received(self) -> int:
        return self.daemon.done("get_status")["data"]["state"]["stream"]["frames"]

    def broker(self) -> None:
        self.daemon.broker.stop()
        self.daemon.program.wait_for_line(rf"127\.0\.0\.1:{self.daemon.broker.port}: .*closed|refused")

    def camera_hangs(self) -> None:
        self.camera.signal(signal.SIGSTOP)

    def befall(self, troubles: tuple[str, ...]) -> None:
        for trouble in troubles:
            {"worker": self.worker, "broker": self.broker, "camera": self.camera_hangs}[trouble]()

    def end(self, how: str | int) -> tuple[float, int]:
        """How long it takes to end, and its status."""
        program = self.daemon.program
        below = self.daemon.below()
        began = time.monotonic()
        if how == "shutdown":
            self.daemon.send("shutdown")
        else:
            program.signal(how)
        status = program.wait(TIMEOUT + 10)
        took = time.monotonic() - began
        self.daemon.leaves_nothing(below)
        return took, status


@pytest.fixture
def scene(run: Callable[..., Program], start: Callable[..., Daemon]) -> Scene:
    camera = run(BUILT / "orion-camera", "--fps", 30, "--width", 320, "--height", 240)
    address = camera.wait_for_line(r"^rtsp://\S+$").group()
    daemon = start(
        camera={"rtsp_url": address},
        stream={"fps": 30},
        shutdown_timeout_s=TIMEOUT,
        models={"person_detector": {"detector": "motion", "max_inference_rate_hz": 30}},
    )
    daemon.wait_for_results(20)
    return Scene(daemon, camera)


def add_up(daemon: Daemon) -> dict[str, dict]:
    """The books, each of them and one with the next: what leaves an element arrives at the one behind it."""
    books = daemon.books()
    for name, following, most in (("source", "roi", 1), ("roi", "infer", 0), ("infer", "sink", 0)):
        assert books[name]["in_flight"] == 0, books
        between = books[name]["forwarded"] - books[following]["received"]
        # One may be on its way from the gate when the elements stop.
        assert 0 <= between <= most, (name, following, books)
    return books


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "shutdown"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_it_ends_in_time_whatever_hangs(scene, trouble, how):
    if how == "shutdown" and "broker" in TROUBLES[trouble]:
        pytest.skip("nobody can send a command without a broker")
    daemon = scene.daemon
    scene.befall(TROUBLES[trouble])
    took, status = scene.end(how)
    print(f"\n{trouble}, {how!s}: ended with {status} after {took:.2f} s")
    assert status == 0, daemon.program.output[-3000:]
    assert took <= TIMEOUT + MARGIN
    if not TROUBLES[trouble]:
        assert took <= 2, "nothing is to be waited for"
    has_hung = "worker" in TROUBLES[trouble]
    books = add_up(daemon)
    if has_hung:
        assert books["infer"]["dropped"]["shutdown"] >= 1, "what the worker kept is lost with it"
    assert not re.search(r"panicked|CRITICAL|DOES NOT ADD UP", daemon.program.output)
    if "broker" in TROUBLES[trouble]:
        return
    assert daemon.retained("status") == b"stopped"
    reason = "shutdown command" if how == "shutdown" else "signal"
    assert daemon.events("stopping")[0]["reason"] == reason


def test_what_is_in_hand_is_published_before_it_is_stopped(scene):
    daemon = scene.daemon
    # Every frame is on its way somewhere at 30 Hz; the end comes at any moment.
    took, status = scene.end(signal.SIGTERM)
    assert status == 0 and took <= TIMEOUT + MARGIN
    books = add_up(daemon)
    results = daemon.results()
    numbers = [result["frame_seq"] for result in results]
    assert len(results) == len(set(numbers)) == books["sink"]["forwarded"], "each one arrived, once"
    assert books["infer"]["forwarded"] == books["sink"]["received"] == books["sink"]["forwarded"]
    # Of the frames with a number each is published, or lost in between, or lost at the end.
    roi, infer = books["roi"], books["infer"]
    assert infer["received"] == len(results) + sum(infer["dropped"].values())
    told = sum(sum(result["lost_since_last"].values()) for result in results)
    late = roi["forwarded"] - (numbers[-1] + 1)
    # Before the first one of all the queue may have pushed some out that no result tells of.
    early = numbers[0] - sum(results[0]["lost_since_last"].values())
    assert sum(infer["dropped"].values()) == early + told + late
    shutdown = infer["dropped"].get("shutdown", 0)
    assert late == 0 if shutdown == 0 else late >= shutdown, books
    # The status is the last thing that is said of the results.
    kinds = [
        topic.split("/")[1]
        for topic, message in daemon.listener.messages
        if topic.startswith("care/inferences") or (topic, message) == (daemon.topic("status"), "stopped")
    ]
    assert kinds[-1] == "status" and kinds.count("status") == 1


@pytest.mark.parametrize("first", [signal.SIGTERM, "shutdown"])
def test_a_second_signal_ends_it_at_once(scene, first):
    daemon = scene.daemon
    scene.befall(("worker", "camera"))
    if first == "shutdown":
        daemon.send("shutdown")
    else:
        daemon.program.signal(first)
    daemon.program.wait_for_line(r"stopping \(")
    took, status = scene.end(signal.SIGINT)
    print(f"\nended with {status} {took:.2f} s after the second signal")
    assert took < 1.5 and status == 0
    daemon.books()


def test_commands_that_come_too_late_are_refused(scene):
    daemon = scene.daemon
    scene.befall(("worker",))
    daemon.program.signal(signal.SIGTERM)
    daemon.program.wait_for_line(r"stopping \(")
    assert daemon.refused("pause_inference") == "the daemon stops"
    assert daemon.program.wait(TIMEOUT + MARGIN) == 0


def test_the_cameras_loss_does_not_end_it(scene):
    daemon = scene.daemon
    scene.camera.kill()
    lost = daemon.wait_for_event("stream_lost", seconds=10)
    assert lost["epoch"] >= 0 and lost["detail"]
    assert daemon.done("get_status")["data"]["health"]["status"] == "unhealthy"
    took, status = scene.end(signal.SIGTERM)
    assert status == 0 and took <= TIMEOUT + MARGIN
    add_up(daemon)


def test_frames_that_waited_for_a_worker_that_hangs_are_in_the_books(scene):
    scene.befall(("worker",))
    assert scene.end(signal.SIGTERM)[1] == 0
    add_up(scene.daemon)


def test_the_time_to_stop_can_be_changed_while_it_runs(scene):
    daemon = scene.daemon
    daemon.done("update_config", {"config": {"shutdown_timeout_s": 1}})
    scene.befall(("worker",))
    took, status = scene.end(signal.SIGTERM)
    print(f"\nended after {took:.2f} s")
    assert status == 0 and took <= 1 + MARGIN


def test_it_can_be_stopped_before_it_has_met_anybody(run, broker, listener, tmp_path):
    broker.stop()
    listener.close()
    config = {"models": {"person_detector": {"detector": "motion"}}}
    daemon = Daemon(run, broker, listener, tmp_path, config, has_broker=False)
    daemon.stop(seconds=TIMEOUT + MARGIN)
