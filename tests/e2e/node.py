# SPDX-License-Identifier: MPL-2.0
"""The daemon that tests of commands share: three tiny models, ten frames a second, no sweeps."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny_sizes
from daemon import Daemon, Results, merged
from running import workers

RATE = 10.0
REGION = {"x": 0.2, "y": 0.2, "width": 0.6, "height": 0.6}

# What tests change, as it is before each of them.
PERSON: dict[str, Any] = {"size": "n", "max_inference_rate_hz": RATE, "confidence": 0.5, "workers": 1}
ROIS: dict[str, Any] = {
    "attention": [],
    "max_blind_time_s": 0,
    "auto_focus": {"enabled": False, "strategy": "simple", "alpha": 0.3, "history_frames": 30},
}
BEFORE: dict[str, Any] = {"room_id": "ward", "models": {"person_detector": PERSON}, "rois": ROIS}


def config(folder: Path) -> dict[str, Any]:
    """The configuration, with models made in a folder."""
    return merged(
        BEFORE, {"models": {"person_detector": {"model_dir": str(tiny_sizes.make(folder / "models"))}}}
    )


def reset(daemon: Daemon) -> None:
    """Undoes whatever the test before did, and sees to it that results come."""
    status = daemon.done("get_status")["data"]
    if status["paused"]:
        daemon.done("resume_inference")
    daemon.done("update_config", {"config": BEFORE})
    daemon.wait_for_result("the model n", lambda result: size(result) == "n", daemon.heard)
    daemon.wait_until("the end of former workers", lambda: len(workers(daemon.program.pid)) == 1)


def person(**keys: Any) -> dict[str, Any]:
    """Parameters of update_config for keys of the person detector."""
    return {"config": {"models": {"person_detector": keys}}}


# What results show.


def size(result: dict) -> str:
    return result["data"]["metadata"]["model_size"]


def source(result: dict) -> str:
    return result["data"]["metadata"]["roi_processing"]["source"]


def region(result: dict) -> dict[str, float] | None:
    return result["data"]["metadata"]["roi_processing"]["merged_roi"]


def is_in_force_from(
    daemon: Daemon, ack: dict, shows: Callable[[dict], bool], after: int, in_hand: int = 1
) -> Results:
    """Every result from `applied_at_seq` on shows the effect, and none before; the later ones.

    So many frames before it may show it too: they were in hand when the command came.
    """
    first = ack["applied_at_seq"]

    def later() -> Results:
        return [result for result in daemon.results(after) if result["frame_seq"] >= first]

    found = daemon.wait_until(f"results from frame {first} on", lambda: len(later()) >= 3 and later())
    for result in found:
        assert shows(result), (first, result)
    for result in daemon.results(after):
        if result["frame_seq"] < first - in_hand:
            assert not shows(result), (first, result)
    return found


def is_without_loss(results: Results) -> None:
    """Between two results lie just the frames that the second one says were lost, none by a restart."""
    for before, after in itertools.pairwise(results):
        missing = after["frame_seq"] - before["frame_seq"] - 1
        lost = after["lost_since_last"]
        assert missing == sum(lost.values()), (before["frame_seq"], after)
        assert set(lost) <= {"queue_full"}, after


def forwarded(node: Daemon) -> dict[str, int]:
    """How many frames each element has let pass."""
    books = node.done("get_status")["data"]["state"]["ledger"]
    return {book["element"]: book["forwarded"] for book in books}
