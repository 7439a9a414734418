# SPDX-License-Identifier: Apache-2.0
"""Builds .tflite files for tests, one tensor and one operator at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIONS = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "PAD": "PadOptions",
    "QUANTIZE": "QuantizeOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SUB": "SubOptions",
    "SVDF": "SVDFOptions",
    "TRANSPOSE": "TransposeOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
}


class ModelBuilder:
    """Collects tensors and operators; ``build`` makes the file.

    Buffers are not shared, and buffer 0 is empty, as the schema asks.
    """

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "made by a test"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.model.subgraphs = [schema.SubGraphT()]
        self.graph = self.model.subgraphs[0]
        self.graph.name = "main"
        self.graph.tensors = []
        self.graph.operators = []

    def tensor(
        self,
        shape: Sequence[int],
        scale: float | Sequence[float] | None = None,
        zero_point: int | Sequence[int] = 0,
        *,
        dtype: str = "int8",
        axis: int = 0,
        data: np.ndarray | None = None,
        signature: Sequence[int] | None = None,
        variable: bool = False,
    ) -> int:
        """Adds a tensor; a constant one where ``data`` is given."""
        made = schema.TensorT()
        made.name = f"t{len(self.graph.tensors)}"
        made.shape = list(shape)
        made.shapeSignature = None if signature is None else list(signature)
        made.type = getattr(schema.TensorType, dtype.upper())
        made.buffer = 0
        made.isVariable = variable
        if data is not None:
            made.buffer = len(self.model.buffers)
            raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(schema.BufferT(raw))
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.atleast_1d(np.float32(scale)).tolist()
            zeros = np.broadcast_to(zero_point, len(made.quantization.scale))
            made.quantization.zeroPoint = zeros.tolist()
            made.quantization.quantizedDimension = axis
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def op(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        intermediates: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        """Adds an operator; ``options`` are fields of its options table, in the schema's names."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        self.model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(self.model.operatorCodes) - 1
        made.inputs, made.outputs = list(inputs), list(outputs)
        made.intermediates = None if intermediates is None else list(intermediates)
        if kind in _OPTIONS:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, _OPTIONS[kind])
            made.builtinOptions = getattr(schema, _OPTIONS[kind] + "T")()
            for name, value in options.items():
                if not hasattr(made.builtinOptions, name):
                    raise AttributeError(f"{kind} has no option {name}")
                setattr(made.builtinOptions, name, value)
        self.graph.operators.append(made)

    def build(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The finished file."""
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        return pack(self.model)


def pack(model: Any) -> bytes:
    """Serialises a model of the schema's object API."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def unpack(data: bytes) -> Any:
    """The schema's object API of a model, to damage it in some particular way."""
    return schema.ModelT.InitFromPackedBuf(data, 0)


def small_cnn(rng: np.random.Generator, classes: int = 4) -> bytes:
    """An int8 network of a convolution, a pooling, a fully connected layer and a softmax."""
    made = ModelBuilder()
    image = made.tensor((1, 8, 8, 1), 0.02, -3)
    kernel = made.tensor(
        (4, 3, 3, 1),
        (0.01, 0.012, 0.009, 0.011),
        data=rng.integers(-127, 128, (4, 3, 3, 1), np.int8),
    )
    bias = made.tensor(
        (4,), 0.02 * np.float32((0.01, 0.012, 0.009, 0.011)), dtype="int32",
        data=rng.integers(-999, 999, 4, np.int32),
    )  # fmt: skip
    hidden = made.tensor((1, 8, 8, 4), 0.03, -128)
    made.op(
        "CONV_2D", (image, kernel, bias), (hidden,),
        padding=0, strideH=1, strideW=1, fusedActivationFunction=1,
    )  # fmt: skip
    pooled = made.tensor((1, 4, 4, 4), 0.03, -128)
    made.op(
        "MAX_POOL_2D", (hidden,), (pooled,),
        padding=1, strideH=2, strideW=2, filterHeight=2, filterWidth=2,
    )  # fmt: skip
    flat = made.tensor((1, 64), 0.03, -128)
    shape = made.tensor((2,), dtype="int32", data=np.int32((1, 64)))
    made.op("RESHAPE", (pooled, shape), (flat,), newShape=[1, 64])
    head = made.tensor((classes, 64), 0.008, data=rng.integers(-127, 128, (classes, 64), np.int8))
    offset = made.tensor(
        (classes,), 0.03 * 0.008, dtype="int32", data=rng.integers(-999, 999, classes, np.int32)
    )
    logits = made.tensor((1, classes), 0.15, 10)
    made.op("FULLY_CONNECTED", (flat, head, offset), (logits,))
    output = made.tensor((1, classes), 1 / 256, -128)
    made.op("SOFTMAX", (logits,), (output,), beta=1.0)
    return made.build((image,), (output,))
