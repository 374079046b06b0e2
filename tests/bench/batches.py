# SPDX-License-Identifier: MPL-2.0
"""Measures what it gains to run frames of several cameras at once.

First the model alone, a run of 1, 2, 4 and 8 pictures, with one thread and with two; then cameras that share
one worker, with and without batches. The given models leave no number open: copies of them that do are made
here. `make build setup python-dev` makes what this runs.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import paho.mqtt.client as paho
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from mqtt import Broker  # noqa: E402  (these need the path above)
from running import Program, children, wait_for  # noqa: E402

_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="What batches gain.")
    data = Path(os.environ.get("ORION_TEST_DATA") or ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=data, help="folder that holds models")
    parser.add_argument("--model", default="yoloxn_fp32", help="start of the model's file names")
    parser.add_argument("--side", type=int, default=320, choices=(320, 640), help="the model for the cameras")
    parser.add_argument("--cameras", type=int, nargs="*", default=[1, 2, 4, 8], help="default: 1 2 4 8")
    parser.add_argument("--rate", type=int, default=30, help="frames a second of each camera")
    parser.add_argument("--threads", type=int, default=2, help="of the worker")
    parser.add_argument(
        "--plugins", type=Path, default=ROOT / "target" / "plugins", help="folder of libgstorion.so"
    )
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        opened = {}
        for side in (320, 640):
            given = options.data / "models" / f"{options.model}_{side}.onnx"
            if not given.is_file():
                print(f"no {given}: give --data and --model", file=sys.stderr)
                return 2
            opened[side] = open_number(given, Path(folder) / given.name)
            alone(given, opened[side], side, options.seconds)
        for cameras in options.cameras:
            for batch in (1, 4):
                print(share(options, opened[options.side], cameras, batch), flush=True)
    return 0


def open_number(given: Path, path: Path) -> Path:
    """A copy of a model that leaves open how many pictures it takes."""
    model = onnx.load(str(given))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Reshape" and (tensor := constants.get(node.input[1])) is not None:
            shape = numpy_helper.to_array(tensor).copy()
            if shape[0] == 1:
                shape[0] = 0 if -1 in shape[1:] else -1
                tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    onnx.save(model, str(path))
    return path


def alone(given: Path, opened: Path, side: int, seconds: float) -> None:
    """Prints ms a picture, and CPU ms a picture, of runs in turn."""
    pictures = np.random.default_rng(1).random((8, 3, side, side), np.float32)
    for threads in (1, 2):
        fixed, free = session(given, threads), session(opened, threads)
        runs: dict[str, tuple[Callable[..., object], int]] = {"as given": (fixed, 1)}
        runs |= {f"{count}": (free, count) for count in (1, 2, 4, 8)}
        wall: dict[str, list[float]] = {name: [] for name in runs}
        cpu: dict[str, list[float]] = {name: [] for name in runs}
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(wall["8"]) < 3:
            for name, (run, count) in runs.items():
                start, used = time.perf_counter(), time.process_time()
                run(pictures[:count])
                wall[name].append(1e3 * (time.perf_counter() - start) / count)
                cpu[name].append(1e3 * (time.process_time() - used) / count)
        cells = [f"{n}: {statistics.median(wall[n]):.1f} (CPU {statistics.median(cpu[n]):.1f})" for n in runs]
        print(f"{opened.name}, {threads} threads, ms a picture, in runs of  {'  '.join(cells)}", flush=True)


def session(path: Path, threads: int) -> Callable[[np.ndarray], object]:
    """How to run a model, with the options of the worker."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = made.get_inputs()[0].name
    return lambda blob: made.run(None, {name: blob})


def share(options: argparse.Namespace, model: Path, cameras: int, batch: int) -> str:
    """One line on so many live cameras at one worker, which goes as fast as it can."""
    branches = [
        f"videotestsrc is-live=true ! video/x-raw,format=RGB,width=640,height=360,framerate={options.rate}/1 "
        f"! orionroi instance-id=camera-{number} "
        "! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 "
        f"! orionpyinfer worker-group=all model-file={model} intra-op-threads={options.threads} "
        f"max-batch={batch} "
        "! orionmqttsink uri={uri}"
        for number in range(cameras)
    ]
    with contextlib.ExitStack() as stack:
        broker = Broker(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        broker.start()
        stack.callback(broker.stop)
        results = stack.enter_context(heard(broker.port))
        text = " ".join(branches).replace("{uri}", broker.uri)
        environment = {**os.environ, "GST_PLUGIN_PATH": str(options.plugins)}
        program = Program(["gst-launch-1.0", "-e", *text.split()], environment)
        stack.callback(program.kill)
        wait_for("results", lambda: len(results) >= 20 * cameras, 60)
        first, start, used = len(results), time.monotonic(), cpu_seconds(program.pid)
        time.sleep(options.seconds)
        used, spent = cpu_seconds(program.pid) - used, time.monotonic() - start
        results = [json.loads(payload) for payload in results[first:]]
    latencies = sorted(result["latency_ms"] for result in results)
    p50, p99 = statistics.median(latencies), latencies[int(len(latencies) * 0.99)]
    kind = "no batches" if batch == 1 else f"batches up to {batch}"
    together = statistics.mean(result["timing"].get("batch", 1) for result in results)
    return (
        f"{cameras} cameras at {options.rate} Hz, {kind}: {len(results) / spent:.1f} frames/s, "
        f"latency p50 {p50:.1f} p99 {p99:.1f} ms, CPU {1e3 * used / len(results):.1f} ms a frame, "
        f"{together:.2f} in a run"
    )


@contextlib.contextmanager
def heard(port: int) -> Iterator[list[bytes]]:
    """The results that are published, as they come."""
    payloads: list[bytes] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe("care/inferences/#", qos=1)
    client.on_message = lambda _client, _data, message: payloads.append(message.payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    yield payloads
    client.disconnect()
    client.loop_stop()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it (fields 14 and 15 of proc/pid/stat)."""
    total = 0.0
    for below in [pid, *(child for child, _, _ in children(pid))]:
        fields = Path(f"/proc/{below}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


if __name__ == "__main__":
    sys.exit(main())
