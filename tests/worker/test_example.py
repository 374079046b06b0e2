# SPDX-License-Identifier: MPL-2.0
"""The example of a worker of one's own does what it says, and keeps the protocol."""

import subprocess
import sys

import numpy as np
from worker_process import MODELS, PATIENCE_S, frame_message

EXAMPLE = MODELS / "examples" / "my_worker.py"

# What orionpyinfer adds to worker-command.
HOST = ["--detector", "auto", "--model-size", "n", "--confidence", "0.5", "--iou-threshold", "0.45"]
HOST += ["--labels", "person", "--threads", "0", "--execution-provider", "cpu", "--model-dir", "/nowhere"]


def test_it_finds_light_and_takes_the_hosts_arguments(start):
    worker = start(*HOST, program=(sys.executable, EXAMPLE))
    ready = worker.ready()
    assert (ready["worker"], ready["models"]["file_640"]) == ("my_detector", None)
    dark = np.full((48, 64, 3), 30, np.uint8)
    assert worker.ask(frame_message(dark))["data"]["count"] == 0
    lit = dark.copy()
    lit[10:20, 40:64] = 250
    result = worker.ask(frame_message(lit, 2))
    assert result["type"] == "my_detection"
    (found,) = result["data"]["detections"]
    assert found["bbox"] == {"x": 40.0, "y": 10.0, "width": 24.0, "height": 10.0}
    assert (found["label"], found["confidence"]) == ("light", round(240 / (48 * 64), 4))
    described = worker.ask({"type": "command", "id": "", "command": "describe"})
    assert described["data"]["threshold"] == 220
    assert worker.finish() == 0


def test_it_is_small():
    text = EXAMPLE.read_text().partition("class MyDetector:")[2]
    assert [line.split("(")[0].split()[1] for line in text.splitlines() if "def " in line] == [
        "load",
        "infer",
        "describe",
    ]
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 22


def test_it_passes_the_check():
    command = [sys.executable, "-m", "orion_worker", "check", "--frames", "10", str(EXAMPLE)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, cwd="/"
    )
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout and "warn" not in done.stdout
    # The pictures have something to find.
    (boxes,) = [line for line in done.stdout.splitlines() if line.startswith("boxes")]
    assert " boxes in " in boxes and "nothing was found" not in boxes
