# SPDX-License-Identifier: MPL-2.0
"""From trained weights to the ONNX files that the worker reads."""

import copy
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.functional import softplus

from orion_train.grid import cells
from orion_train.network import PersonNet

SIDES = (320, 640)
OPSET = 13
MAX_BYTES = 2_000_000
BOX_TOLERANCE, SCORE_TOLERANCE = 2.0, 0.02
"""How far FP16 weights may move a box that counts, in px, and a score."""


class Deployed(nn.Module):
    """The network with its decoder: pictures (1, 3, s, s) to (1, 5, n) as YOLO11's export has it.

    Rows: centre x, centre y, width, height in px, and the score in 0..1. `shift` is added to the logits,
    so that the worker's default threshold of 0.5 is a sensible one.
    """

    def __init__(self, net: PersonNet, side: int, shift: float) -> None:
        super().__init__()
        self.net, self.shift = net, shift
        points, strides = cells(side, side)
        self.register_buffer("points", torch.from_numpy(points.T.copy())[None])
        self.register_buffer("strides", torch.from_numpy(strides)[None, None])

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        logits, raw = self.net(images)
        sides = softplus(raw.transpose(1, 2)) * self.strides
        before, after = sides[:, :2], sides[:, 2:]
        centre = self.points + (after - before) / 2
        scores = torch.sigmoid(logits + self.shift)[:, None]
        return torch.cat([centre, before + after, scores], 1)


def export(net: PersonNet, directory: Path, side: int, shift: float) -> Path:
    """Write `orion_person_SIDE.onnx`: FP16 weights, FP32 in and out, `shift` added to the logits.

    Raises:
        ValueError: the file is larger than `MAX_BYTES`, or its results differ from the network's.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"orion_person_{side}.onnx"
    deployed = Deployed(copy.deepcopy(net).float().eval(), side, shift).eval()
    example = torch.zeros(1, 3, side, side)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter that needs no further packages is called old
        torch.onnx.export(
            deployed,
            (example,),
            str(file),
            opset_version=OPSET,
            dynamo=False,
            input_names=["images"],
            output_names=["output0"],
        )
    model = halve(onnx.load(file))
    facts = {"names": "{0: 'person'}", "stride": "32", "licence": "MPL-2.0", "author": "Orion"}
    helper.set_model_props(model, {**facts, "training": json.dumps({"shift": round(shift, 4)})})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file} has {file.stat().st_size} bytes, at most {MAX_BYTES} are allowed")
    _compare(deployed, file, side)
    return file


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store convolution weights as FP16, widened on loading; what is computed stays FP32.

    ONNX Runtime folds the added casts away when it loads the model.
    """
    graph = model.graph
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    casts = []
    for tensor in graph.initializer:
        if tensor.name in kernels and tensor.data_type == TensorProto.FLOAT:
            name, values = tensor.name, numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_fp16"))
            casts.append(helper.make_node("Cast", [f"{name}_fp16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _compare(deployed: Deployed, file: Path, side: int) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, side // 16, side // 16), np.float32))
    image = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    with torch.no_grad():
        expected = deployed(image).numpy()
    (found,) = session.run(None, {"images": image.numpy()})
    if found.shape != expected.shape:
        raise ValueError(f"{file}: output {found.shape}, expected {expected.shape}")
    counts = expected[0, 4] > 0.1
    apart = np.abs(found - expected)[0]
    moved = float(apart[:4, counts].max(initial=0.0))
    if moved > BOX_TOLERANCE or apart[4].max() > SCORE_TOLERANCE:
        raise ValueError(f"{file}: boxes differ by {moved:.2f} px and scores by {apart[4].max():.4f}")
