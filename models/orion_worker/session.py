# SPDX-License-Identifier: MPL-2.0
"""One ONNX Runtime session: a model file checked, loaded and run."""

import ast
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from orion_worker.errors import ModelError, ProviderError
from orion_worker.settings import thread_count

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
"""Names on the command line and the execution providers of ONNX Runtime they mean."""

_TYPES: dict[str, type[np.floating]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def provider_name(short: str) -> str:
    """The ONNX Runtime name of an execution provider.

    Raises:
        ProviderError: it is unknown or not in this build of ONNX Runtime; lists those that are.
    """
    available = ort.get_available_providers()
    if PROVIDERS.get(short) in available:
        return PROVIDERS[short]
    usable = ", ".join(name for name, full in PROVIDERS.items() if full in available)
    raise ProviderError(f"execution provider {short!r} is not available; this ONNX Runtime has: {usable}")


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded model. `input_size` is (width, height) in px; `names` are its class names, if it has any."""

    file: Path
    input_size: tuple[int, int]
    names: list[str] | None
    _runtime: ort.InferenceSession
    _input: str
    _dtype: type[np.floating]

    @classmethod
    def open(cls, file: Path, provider: str, threads: int, default_side: int) -> "Session":
        """Load a detection model.

        Args:
            file: an ONNX file with one image input (1, 3, height, width) and one output.
            provider: a key of `PROVIDERS`.
            threads: see `thread_count`.
            default_side: width and height in px where the model leaves them open.

        Raises:
            ModelError: the file is missing, unreadable or no such model.
            ProviderError: the execution provider is not usable.
        """
        _check_file(file)
        full = provider_name(provider)
        chain = [full] if provider == "cpu" else [full, PROVIDERS["cpu"]]
        try:
            runtime = ort.InferenceSession(str(file), _options(threads), providers=chain)
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise ModelError(f"cannot load model {file}: {_first_line(error)}") from error
        if runtime.get_providers()[0] != full:
            raise ProviderError(f"execution provider {provider!r} could not be started for {file.name}")
        name, size, dtype = _image_input(file, runtime, default_side)
        return cls(file, size, _class_names(runtime), runtime, name, dtype)

    def run(self, blob: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's output for one input (1, 3, height, width)."""
        (output,) = self._runtime.run(None, {self._input: blob.astype(self._dtype, copy=False)})
        return output.astype(np.float32, copy=False)


def _check_file(file: Path) -> None:
    if not file.exists():
        raise ModelError(f"model file {file} does not exist; set model to an ONNX file, or set model-dir")
    if not file.is_file():
        raise ModelError(f"model {file} is not a file; to search a directory, set model-dir")
    if not os.access(file, os.R_OK):
        raise ModelError(f"model file {file} cannot be read: permission denied")


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = thread_count(threads)
    options.inter_op_num_threads = 1
    # Spinning threads keep a core busy between frames, and several workers take it from each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; the worker reports them itself
    return options


def _image_input(
    file: Path, runtime: ort.InferenceSession, default_side: int
) -> tuple[str, tuple[int, int], type[np.floating]]:
    inputs, outputs = runtime.get_inputs(), runtime.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise ModelError(f"model {file} has {found}; a detector has one of each")
    shape, kind = list(inputs[0].shape), inputs[0].type
    if kind not in _TYPES:
        raise ModelError(f"model {file}: input is {kind}, expected one of {', '.join(_TYPES)}")
    fixed = [None if isinstance(side, str) or side is None or side < 1 else side for side in shape]
    if len(fixed) != 4 or fixed[0] not in (1, None) or fixed[1] not in (3, None):
        raise ModelError(f"model {file}: input shape {shape}, expected (1, 3, height, width)")
    return inputs[0].name, (fixed[3] or default_side, fixed[2] or default_side), _TYPES[kind]


def _class_names(runtime: ort.InferenceSession) -> list[str] | None:
    # Ultralytics writes the names into the model as the text of a Python dict or list.
    text = runtime.get_modelmeta().custom_metadata_map.get("names")
    try:
        names = ast.literal_eval(text) if text else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
