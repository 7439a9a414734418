# SPDX-License-Identifier: Apache-2.0
"""Float .tflite files to full-integer ones, by Google's AI Edge Quantizer.

The quantiser's own calibration averages the ends of ranges over samples, so that the first sample
counts most; here a range is what all samples together reach.
"""

import contextlib
import io
from collections.abc import Collection, Iterator
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import DataError, ToolError
from fleetgrad.quantize.keras import EXTRA

Ranges = dict[str, dict[str, NDArray[np.float32]]]


def quantise_tflite(
    content: bytes, activations: Collection[str], calibration: NDArray[np.float32]
) -> bytes:
    """An int8 model: weights per channel, int8 in and out.

    Args:
        content: A float .tflite file with a batch of one.
        activations: Names of the tensors that are not constants.
        calibration: Samples [n, ...].

    Raises:
        ToolError: The quantiser is not installed.
        DataError: It refuses the model.
    """
    try:
        from ai_edge_quantizer import quantizer, recipe  # noqa: PLC0415
    except ImportError as error:
        raise ToolError(
            "AI Edge Quantizer is not installed", expected="the extra models", hint=EXTRA
        ) from error
    ranges = measure_ranges(content, activations, calibration)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            worker = quantizer.Quantizer(_with_new_codes(content), recipe.static_wi8_ai8())
            made = worker.quantize(ranges, enable_progress_report=False)
    except Exception as error:  # its errors have no common type
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"AI Edge Quantizer refuses the model: {reason}",
            hint="quantise the Keras model that it was made from",
        ) from error
    return _self_contained(bytes(made.quantized_model))


def _with_new_codes(content: bytes) -> bytes:
    """The same model with operators named as files since 2020 do.

    Older files have them in another field, which the quantiser does not read.
    """
    model = _unpacked(content)
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _packed(model)


def _self_contained(content: bytes) -> bytes:
    """The same model with constants inside the flatbuffer, where the quantiser put them behind."""
    model = _unpacked(content)
    for buffer in model.buffers:
        if buffer.offset > 1:
            end = buffer.offset + buffer.size
            buffer.data = np.frombuffer(content[buffer.offset : end], np.uint8)
            buffer.offset = buffer.size = 0
    return _packed(model)


def _unpacked(content: bytes) -> Any:
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 - large

    return schema.ModelT.InitFromPackedBuf(content, 0)


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def measure_ranges(
    content: bytes, activations: Collection[str], calibration: NDArray[np.float32]
) -> Ranges:
    """Smallest and largest value of every activation over some samples.

    Args:
        content: A float .tflite file with a batch of one.
        activations: Names of its tensors that are not constants.
        calibration: Samples [n, ...].
    """
    found: Ranges = {}
    for values in _values(content, activations, calibration):
        for name, value in values.items():
            ends = (1,) * value.ndim
            low, high = value.min().reshape(ends), value.max().reshape(ends)
            if name in found:
                low = np.minimum(low, found[name]["min"])
                high = np.maximum(high, found[name]["max"])
            found[name] = {"min": low, "max": high}
    return found


def _values(
    content: bytes, activations: Collection[str], calibration: NDArray[np.float32]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415

    interpreter: Any = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    wanted = [
        (detail["index"], detail["name"])
        for detail in interpreter.get_tensor_details()
        if detail["name"] in activations and detail["dtype"] is np.float32
    ]
    for sample in calibration:
        interpreter.set_tensor(entry["index"], sample.reshape(entry["shape"]))
        interpreter.invoke()
        yield {name: interpreter.get_tensor(index) for index, name in wanted}
