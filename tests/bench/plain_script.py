# SPDX-License-Identifier: MPL-2.0
"""The partner: what one writes in an afternoon, and writes well. One loop, no threads of its own.

`python tests/bench/plain_script.py SOURCE MODEL THREADS PORT TOPIC [calm]`: OpenCV reads a file or an RTSP
stream, the picture is letterboxed, ONNX Runtime runs the network, persons go to the broker on loopback with
QoS 1, a message a frame. It ends with its source. With `calm`, threads of ONNX Runtime do not spin, which few
people set.
"""

import json
import sys
import time

import cv2
import numpy as np
import onnxruntime as ort
import paho.mqtt.client as mqtt

CONFIDENCE, OVERLAP = 0.5, 0.45
PERSON = 0


def letterbox(frame: np.ndarray, side: int) -> tuple[np.ndarray, float, int, int]:
    """The network's input, and how to get back: scale, left, top."""
    height, width = frame.shape[:2]
    scale = min(side / width, side / height)
    scaled = cv2.resize(frame, (round(width * scale), round(height * scale)))
    top, left = (side - scaled.shape[0]) // 2, (side - scaled.shape[1]) // 2
    canvas = np.full((side, side, 3), 114, np.uint8)
    canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True), scale, left, top


def persons(output: np.ndarray, scale: float, left: int, top: int) -> list[dict[str, float]]:
    """Of the output of a YOLOv8 or YOLO11, in pixels of the frame."""
    scores = output[0, 4 + PERSON]
    kept = scores >= CONFIDENCE
    centre_x, centre_y, width, height = output[0, :4, kept].T
    scores = scores[kept]
    boxes = (
        np.stack([centre_x - width / 2 - left, centre_y - height / 2 - top, width, height], axis=1) / scale
    )
    found = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), CONFIDENCE, OVERLAP)
    return [
        {"box": [round(float(side), 1) for side in boxes[at]], "confidence": round(float(scores[at]), 3)}
        for at in np.array(found).flatten()
    ]


def main(source: str, model: str, threads: int, port: int, topic: str, calm: bool) -> None:
    """Reads, looks, publishes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if calm:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        sys.exit(f"{source} cannot be opened")
    number, sent = 0, None
    while True:
        good, frame = capture.read()
        if not good:
            break
        blob, *way_back = letterbox(frame, given.shape[3])
        output = session.run(None, {given.name: blob})[0]
        found = persons(output, *way_back)
        place = {"frame": number, "position_ms": capture.get(cv2.CAP_PROP_POS_MSEC), "timestamp": time.time()}
        message = {**place, "detections": found, "count": len(found)}
        sent = client.publish(topic, json.dumps(message), qos=1)
        number += 1
    if sent:
        sent.wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6:] == ["calm"])
