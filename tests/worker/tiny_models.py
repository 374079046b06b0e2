# SPDX-License-Identifier: MPL-2.0
"""ONNX models of a few kilobytes with a known answer, made on the spot."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def save(
    path: Path, nodes: list[Any], constants: dict[str, np.ndarray], input_shape: list[Any], **options: Any
) -> Path:
    """Write a model with input `images` and the given outputs (default: one, `output`)."""
    kind = options.get("kind", FLOAT)
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in options.get("outputs", ["output"])]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", kind, input_shape)],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names := options.get("names"):
        helper.set_model_props(model, {"names": str(names)})
    onnx.save(model, str(path))
    return path


def constant(path: Path, value: np.ndarray, side: Any = 64, **options: Any) -> Path:
    """A model that answers every picture with `value`."""
    dtype = np.float16 if options.get("kind") == TensorProto.FLOAT16 else np.float32
    # ReduceMean * 0 makes the answer depend on the input as far as the runtime can tell.
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["value", "nothing"], ["output"]),
    ]
    constants = {"value": value.astype(dtype), "zero": np.zeros((), dtype)}
    shape = options.pop("input_shape", [1, 3, side, side])
    return save(path, nodes, constants, shape, **options)


def yolo_columns(columns: list[list[float]], count: int, classes: int = 80) -> np.ndarray:
    """Output `(1, 4 + classes, count)`; each column is cx, cy, w, h, score of class 0, of class 1, ..."""
    output = np.zeros((1, 4 + classes, count), np.float32)
    for number, column in enumerate(columns):
        output[0, : len(column), number] = column
    return output


def _red_box(side: int, first: int, last: int, contrast: float) -> tuple[list[Any], dict[str, np.ndarray]]:
    # The bounding box of what is red: largest and smallest coordinate where channel `first` exceeds
    # channel `last`. Gives scalars left, top, right, bottom; nothing red gives a box of size <= 0.
    node = helper.make_node
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    constants = {
        "first": np.array(first),
        "last": np.array(last),
        "contrast": np.float32(contrast).reshape(()),
        "side": np.float32(side).reshape(()),
        "right_edges": x + 1,
        "left_edges": side - x,
        "bottom_edges": y + 1,
        "top_edges": side - y,
    }
    nodes = [
        node("Gather", ["images", "first"], ["high"], axis=1),
        node("Gather", ["images", "last"], ["low"], axis=1),
        node("Sub", ["high", "low"], ["difference"]),
        node("Greater", ["difference", "contrast"], ["is_red"]),
        node("Cast", ["is_red"], ["mask"], to=FLOAT),
    ]
    for name in ("right", "left", "bottom", "top"):
        nodes.append(node("Mul", ["mask", f"{name}_edges"], [f"{name}_where"]))
        nodes.append(node("ReduceMax", [f"{name}_where"], [f"{name}_most"], keepdims=0))
    nodes += [
        node("Sub", ["side", "left_most"], ["left"]),
        node("Sub", ["side", "top_most"], ["top"]),
        node("Identity", ["right_most"], ["right"]),
        node("Identity", ["bottom_most"], ["bottom"]),
        node("Sub", ["right", "left"], ["w"]),
        node("Sub", ["bottom", "top"], ["h"]),
        node("Add", ["right", "left"], ["x2"]),
        node("Add", ["bottom", "top"], ["y2"]),
    ]
    return nodes, constants


def red_finder_yolo(path: Path, side: int) -> Path:
    """A YOLO11-shaped model that boxes red areas with score 0.9; expects RGB in 0..1."""
    node = helper.make_node
    nodes, constants = _red_box(side, 0, 2, 0.5)
    count = sum((side // stride) ** 2 for stride in (8, 16, 32))
    rest = np.zeros((1, 84, count - 1), np.float32)
    constants |= {
        "half": np.float32(0.5).reshape(()),
        "scores": np.array([0.9] + [0.0] * 79, np.float32),
        "one": np.array([1]),
        "column": np.array([1, 84, 1]),
        "rest": rest,
    }
    nodes += [
        node("Mul", ["x2", "half"], ["cx"]),
        node("Mul", ["y2", "half"], ["cy"]),
        *(node("Reshape", [name, "one"], [f"{name}_1"]) for name in ("cx", "cy", "w", "h")),
        node("Concat", ["cx_1", "cy_1", "w_1", "h_1", "scores"], ["flat"], axis=0),
        node("Reshape", ["flat", "column"], ["found"]),
        node("Concat", ["found", "rest"], ["output"], axis=2),
    ]
    return save(path, nodes, constants, [1, 3, side, side])


def red_finder_yolox(path: Path, side: int) -> Path:
    """A raw YOLOX grid that boxes red areas in its first cell with 0.95 * 0.9; expects BGR in 0..255."""
    node = helper.make_node
    nodes, constants = _red_box(side, 2, 0, 127)
    count = sum((side // stride) ** 2 for stride in (8, 16, 32))
    constants |= {
        "sixteen": np.float32(16).reshape(()),  # twice the stride: x2 is twice the centre
        "eight": np.float32(8).reshape(()),
        "tiny": np.float32(1e-4).reshape(()),
        "scores": np.array([0.95, 0.9] + [0.0] * 79, np.float32),
        "one": np.array([1]),
        "row": np.array([1, 1, 85]),
        "rest": np.zeros((1, count - 1, 85), np.float32),
    }
    nodes += [
        node("Div", ["x2", "sixteen"], ["cx"]),
        node("Div", ["y2", "sixteen"], ["cy"]),
        # Without anything red the size is negative and has no logarithm; next to nothing will do.
        node("Max", ["w", "tiny"], ["w_px"]),
        node("Max", ["h", "tiny"], ["h_px"]),
        node("Div", ["w_px", "eight"], ["w_cells"]),
        node("Div", ["h_px", "eight"], ["h_cells"]),
        node("Log", ["w_cells"], ["log_w"]),
        node("Log", ["h_cells"], ["log_h"]),
        *(node("Reshape", [name, "one"], [f"{name}_1"]) for name in ("cx", "cy", "log_w", "log_h")),
        node("Concat", ["cx_1", "cy_1", "log_w_1", "log_h_1", "scores"], ["flat"], axis=0),
        node("Reshape", ["flat", "row"], ["found"]),
        node("Concat", ["found", "rest"], ["output"], axis=1),
    ]
    return save(path, nodes, constants, [1, 3, side, side])


def any_number(path: Path, side: int) -> Path:
    """A YOLO-shaped model for any number of pictures; where its nine boxes lie depends on the picture."""
    node = helper.make_node
    rng = np.random.default_rng(5)
    count = sum((side // stride) ** 2 for stride in (8, 16, 32))
    columns = rng.random((1, 84, count), np.float32) * side / 2
    columns[:, 4:] = 0.0
    columns[:, 4, :9] = 0.9
    weights = rng.random((1, 3, 1, 1), np.float32)
    nodes = [
        node("Mul", ["images", "weights"], ["mixed"]),
        node("ReduceMean", ["mixed"], ["mean"], axes=[1, 2, 3], keepdims=0),
        node("Reshape", ["mean", "column"], ["means"]),
        node("Mul", ["means", "factor"], ["shift"]),
        node("Add", ["shift", "columns"], ["output"]),
    ]
    factor = np.zeros((1, 84, 1), np.float32)
    factor[0, :2] = side / 4
    constants = {"weights": weights, "columns": columns, "factor": factor, "column": np.array([-1, 1, 1])}
    return save(path, nodes, constants, ["N", 3, side, side])
