# SPDX-License-Identifier: MPL-2.0
"""Files made to break JPEG decoders: one answer each, the worker lives, memory stays bounded."""

import numpy as np
from worker_process import frame_message, jpeg_message

MIB = 1024 * 1024


def test_every_hostile_jpeg_gets_one_answer_and_the_worker_survives(start, data_dir):
    worker = start("--model", data_dir / "models" / "yoloxn_fp32_320.onnx", "--threads", 1)
    worker.ready()
    blank = np.zeros((48, 64, 3), np.uint8)
    worker.ask(frame_message(blank))
    before = worker.memory_bytes("VmRSS")
    files = sorted((data_dir / "jpeg").glob("*.jpg"))
    assert len(files) == 183
    answers = {"person_detection": 0, "error": 0}
    for seq, file in enumerate(files):
        answer = worker.ask(jpeg_message(file.read_bytes(), seq))
        assert answer["frame_seq"] == seq
        answers[answer["type"]] += 1
        if answer["type"] == "error":
            assert answer["code"] == "bad_frame", (file.name, answer)
    print(answers, f"memory {before // MIB} MiB, most {worker.memory_bytes('VmHWM') // MIB} MiB")
    assert answers["error"] > 100
    assert worker.memory_bytes("VmHWM") < before + 200 * MIB
    assert worker.ask(frame_message(blank, 1000))["frame_seq"] == 1000
    assert worker.finish() == 0
    assert len(worker.stderr().splitlines()) < 10
