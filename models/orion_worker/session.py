# SPDX-License-Identifier: MPL-2.0
"""One ONNX Runtime session: a model file checked, loaded and run."""

import ast
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from orion_worker.cache import ModelCache, folder, has_outside_data
from orion_worker.errors import ModelError, ProviderError
from orion_worker.log import log
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
    """A loaded model.

    `input_size` is (width, height) in px; `names` are its class names, if it has any; `cache` says
    whether its optimised form was `used`, was `made` for the next start, or is `off`;
    `is_batched` tells that the model leaves open how many pictures it takes at once.
    """

    file: Path
    sha256: str
    input_size: tuple[int, int]
    names: list[str] | None
    cache: str
    is_batched: bool
    _runtime: ort.InferenceSession
    _input: str
    _dtype: type[np.floating]
    _output: NDArray[np.float32] | None

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
        model = _read(file)
        sha256 = hashlib.sha256(model).hexdigest()
        where, on_cpu = folder(os.environ), provider == "cpu"
        try:
            through = _through_cache(ModelCache(where), model, sha256, threads) if where and on_cpu else None
            chain = [full] if on_cpu else [full, PROVIDERS["cpu"]]
            runtime, cached = through or (
                ort.InferenceSession(str(file), _options(threads), providers=chain),
                "off",
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise ModelError(f"cannot load model {file}: {_first_line(error)}") from error
        if runtime.get_providers()[0] != full:
            raise ProviderError(f"execution provider {provider!r} could not be started for {file.name}")
        name, size, dtype = _image_input(file, runtime, default_side)
        output = _fixed_output(runtime) if on_cpu else None
        first = runtime.get_inputs()[0].shape[0]
        is_batched = not isinstance(first, int) or first < 1
        names = _class_names(runtime)
        return cls(file, sha256, size, names, cached, is_batched, runtime, name, dtype, output)

    def bind(self, blob: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
        """How to run the model on an input (1, 3, height, width), whose content may change between runs.

        What a run returns is valid until the next run, whatever input that is of.
        """
        output = self._output
        if output is None or self._dtype is not np.float32:
            return lambda: self.run(blob)
        name = self._runtime.get_outputs()[0].name
        binding = self._runtime.io_binding()
        # ONNX Runtime only keeps the addresses; the closure keeps the arrays.
        binding.bind_input(self._input, "cpu", 0, np.float32, blob.shape, blob.ctypes.data)
        binding.bind_output(name, "cpu", 0, np.float32, output.shape, output.ctypes.data)

        def run(_keep: NDArray[np.float32] = blob) -> NDArray[np.float32]:
            self._runtime.run_with_iobinding(binding)
            return output

        return run

    def run(self, blob: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output for an input (n, 3, height, width)."""
        (output,) = self._runtime.run(None, {self._input: blob.astype(self._dtype, copy=False)})
        return output.astype(np.float32, copy=False)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"model file {file} cannot be read: {error.strerror}") from error


def _through_cache(
    cache: ModelCache, model: bytes, sha256: str, threads: int
) -> tuple[ort.InferenceSession, str] | None:
    # From the bytes that were hashed: the file may be another one by now.
    cpu = [PROVIDERS["cpu"]]
    key = cache.key(sha256, f"{ort.__version__} {ort.get_build_info()}", cpu[0])
    if (optimised := cache.load(key)) is not None:
        options = _options(threads)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.load_model_format", "ORT")
        try:
            return ort.InferenceSession(optimised, options, providers=cpu), "used"
        except Exception as error:
            cache.drop(key, f"of no use ({_first_line(error)})")
    if has_outside_data(model):
        return None
    made: list[ort.InferenceSession] = []

    def write(path: Path) -> None:
        options = _options(threads)
        options.optimized_model_filepath = str(path)
        options.add_session_config_entry("session.save_model_format", "ORT")
        # The cache is hardware specific and says so in its key.
        made.append(ort.InferenceSession(model, options, providers=cpu))

    try:
        stored = cache.store(key, write)
    except Exception as error:  # it may be the model, or the disk that is full
        log.debug("model cache: %s", _first_line(error))
        stored = False
    if not made:
        made.append(ort.InferenceSession(model, _options(threads), providers=cpu))
    return made[0], "made" if stored else "off"


def _fixed_output(runtime: ort.InferenceSession) -> NDArray[np.float32] | None:
    # Memory for the output, if the model says how large it is.
    outputs = runtime.get_outputs()
    shape, kind = outputs[0].shape, outputs[0].type
    if kind != "tensor(float)" or not all(isinstance(side, int) and side > 0 for side in shape):
        return None
    return np.empty(shape, np.float32)


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
    # Threads that spin find the next part of a frame sooner than ones that have to be woken. Between frames
    # they would keep a core busy, which workers would take from each other, so they stop with each run.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", "50")
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
