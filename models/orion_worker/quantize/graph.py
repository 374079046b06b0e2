# SPDX-License-Identifier: MPL-2.0
"""An ONNX model with 8-bit convolutions, and with the part that makes boxes left as it is."""

import heapq
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from orion_worker.errors import ModelError

HEADS = (0, 1, 3)
"""How many convolutions before the outputs keep their precision, tried in this order."""

onnxruntime.set_default_logger_severity(3)  # errors; they reach the user by themselves

# Scales by channel came with this one (DequantizeLinear-13).
_LEAST_OPSET, _OPSET = 13, 17
_FROM = "orion.quantized_from"


class _Inputs(CalibrationDataReader):
    def __init__(self, name: str, blobs: Sequence[NDArray[np.float32]]):
        self._inputs: Iterator[dict[str, NDArray[np.float32]]] = iter([{name: blob} for blob in blobs])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._inputs, None)


def prepare(file: Path, folder: Path) -> Path:
    """The model in a form that can be quantised, written into `folder`.

    Raises:
        ModelError: ONNX cannot convert it, or it is no 32-bit model.
    """
    named, ready = folder / "named.onnx", folder / "ready.onnx"
    try:
        model = onnx.load(str(file))
        if model.graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            raise ModelError(f"model {file}: its input is not of 32-bit numbers; quantise the fp32 model")
        opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
        if opset < _LEAST_OPSET:
            model = onnx.version_converter.convert_version(model, _OPSET)
        _name_all(model)
        onnx.save(model, str(named))
        quant_pre_process(str(named), str(ready), skip_symbolic_shape=True)
        model = onnx.load(str(ready))
        _name_all(model)
        onnx.save(model, str(ready))
    except ModelError:
        raise
    except Exception as error:  # onnx and its checker raise what they like
        raise ModelError(f"model {file} cannot be quantised: {_first_line(error)}") from error
    return ready


def quantise(
    prepared: Path, blobs: Sequence[NDArray[np.float32]], head: int, target: Path, original: Path
) -> None:
    """Write the model with 8-bit weights by channel and 8-bit activations, calibrated on `blobs`.

    What comes after the last convolutions turns numbers into boxes and scores, which 8 bits cannot
    hold at once; it stays as it is, and so do the last `head` convolutions.

    Raises:
        ModelError: ONNX Runtime cannot do it.
    """
    model = onnx.load(str(prepared))
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # advice to do what `prepare` has done
    try:
        quantize_static(
            str(prepared),
            str(target),
            _Inputs(model.graph.input[0].name, blobs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(behind(model, head)),
        )
    except Exception as error:  # it raises what it likes
        raise ModelError(f"model {original} cannot be quantised: {_first_line(error)}") from error
    finally:
        logging.getLogger().setLevel(level)
    made = onnx.load(str(target))
    notes = {item.key: item.value for item in onnx.load(str(original)).metadata_props}
    onnx.helper.set_model_props(made, notes | {_FROM: original.name})
    onnx.save(made, str(target))


def behind(model: onnx.ModelProto, convolutions: int) -> set[str]:
    """Names of the nodes that reach an output through at most that many convolutions, those included."""
    makers = {name: node for node in model.graph.node for name in node.output}
    # Least convolutions first, so that each node is visited once, on its shortest way to an output.
    ahead = [(0, output.name) for output in model.graph.output]
    found: set[str] = set()
    while ahead:
        passed, name = heapq.heappop(ahead)
        node = makers.get(name)
        if node is None or node.name in found:
            continue
        passed += node.op_type == "Conv"
        if passed > convolutions:
            continue
        found.add(node.name)
        for given in node.input:
            heapq.heappush(ahead, (passed, given))
    return found


def temporary() -> "tempfile.TemporaryDirectory[str]":
    """A folder for what is made on the way."""
    return tempfile.TemporaryDirectory(prefix="orion-quantize-", ignore_cleanup_errors=True)


def _name_all(model: onnx.ModelProto) -> None:
    taken: set[str] = set()
    for at, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"orion_{at}_{node.op_type}"
        taken.add(node.name)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
