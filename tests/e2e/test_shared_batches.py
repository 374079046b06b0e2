# SPDX-License-Identifier: MPL-2.0
"""Two RTSP cameras and one worker: frames of both go through its model in one run, where that can."""

import itertools
import os
import signal
import sys

from running import ROOT, wait_for, workers

sys.path.append(str(ROOT / "tests" / "worker"))

from tiny_models import any_number

NAMES = ("first", "second")


def branch(name: str, url: str, model: object, uri: str) -> str:
    """From one camera to the broker."""
    return (
        f"rtspsrc location={url} latency=0 ! rtph264depay ! h264parse ! avdec_h264 ! videoconvert "
        f"! video/x-raw,format=RGB ! orionroi instance-id={name} "
        "! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 "
        f"! orionpyinfer worker-group=all model-file={model} intra-op-threads=1 "
        "max-batch=2 batch-wait=200000000 "
        f"! orionmqttsink uri={uri} sync=false"
    )


def by_camera(messages: list) -> dict[str, list[dict]]:
    """The results of each, in the order of their coming."""
    return {name: [result for _, result in messages if result["instance_id"] == name] for name in NAMES}


def test_frames_of_two_cameras_are_run_at_once_and_each_is_accounted_for(
    run, camera, broker, listener, tmp_path
):
    model = any_number(tmp_path / "any.onnx", 64)
    branches = [branch(name, camera("--fps", 10), model, broker.uri) for name in NAMES]
    program = run("gst-launch-1.0", "-e", *" ".join(branches).split())

    def together() -> list[dict]:
        heard = by_camera(listener.messages)
        return [r for results in heard.values() for r in results if r["timing"].get("batch") == 2]

    wait_for("frames of both in one run", lambda: len({r["instance_id"] for r in together()}) == 2)
    listener.wait_for(40, 60)
    assert len(workers(program.pid)) == 1
    (worker,) = workers(program.pid)
    os.kill(worker, signal.SIGKILL)
    wait_for("another worker", lambda: workers(program.pid) not in ([], [worker]))
    before = len(together())
    wait_for("batches again", lambda: len(together()) >= before + 10)
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(10) == 0, program.output
    for name, results in by_camera(listener.messages).items():
        assert {r["timing"].get("batch") for r in results} <= {None, 2}, name
        assert all(r["data"]["count"] > 0 for r in results)
        for earlier, later in itertools.pairwise(results):
            missing = later["frame_seq"] - earlier["frame_seq"] - 1
            assert missing == sum(later["lost_since_last"].values()), (name, earlier["frame_seq"], later)
