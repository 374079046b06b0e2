# SPDX-License-Identifier: MPL-2.0
"""Workers that do not answer, where their element leaves them all the time they want."""

import json
import os
import signal

from running import BUILT, wait_for
from test_metrics import get

WATCHDOG = {"interval_s": 0.1, "min_timeout_s": 1}


def pipeline(broker, worker: str) -> dict:
    """An hour for a frame: the element itself does nothing about a worker that hangs."""
    text = (
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=10/1"
        " ! jpegenc ! orionroi name=roi instance-id=node_001"
        " ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0"
        f" ! orionpyinfer name=infer {worker} frame-timeout=3600000000000 startup-timeout=20000000000"
        f" ! orionmqttsink name=sink uri={broker.uri}"
    )
    return {"pipeline": text, "watchdog": WATCHDOG, "http": {"bind": "127.0.0.1:0"}}


def infer(daemon) -> dict:
    return json.loads(get(daemon, "/readyz")[1])["workers"][0]


def test_a_worker_that_hangs_is_replaced_and_results_go_on(start, broker):
    daemon = start(**pipeline(broker, "detector=motion"))
    daemon.wait_for_results(3)
    (before,) = (process["pid"] for process in infer(daemon)["processes"])
    os.kill(before, signal.SIGSTOP)
    event = daemon.wait_for_event("watchdog_restart")
    assert event["worker"] == "infer" and event["restarts"] == 1 and event["waited_s"] >= 1
    daemon.wait_for_results(3, after=daemon.heard)
    now = infer(daemon)
    assert now["watchdog_restarts"] == 1 and [process["pid"] != before for process in now["processes"]] == [
        True
    ]
    wait_for("the old one is gone", lambda: not os.path.exists(f"/proc/{before}"))
    daemon.stop()
    assert not [event for event in daemon.said() if event.get("event") == "watchdog_failed"]


def test_workers_that_never_answer_are_a_case_for_a_person(start, broker):
    # Each of them hangs on its first frame, whatever number that has.
    actions = " ".join(f"--at {seq}=hang" for seq in range(400))
    command = f"{BUILT / 'orion-stub-worker'} {actions}"
    text = pipeline(broker, f'worker-command="{command}"')
    text["pipeline"] = text["pipeline"].replace("startup-timeout=20000000000", "startup-timeout=1000000000")
    daemon = start(**text)
    event = daemon.wait_for_event("watchdog_failed")
    assert "has given no result for" in event["text"] and "restart_worker" in event["text"]
    restarts = [event for event in daemon.said() if event.get("event") == "watchdog_restart"]
    assert restarts, "that was tried first"
    daemon.stop()
