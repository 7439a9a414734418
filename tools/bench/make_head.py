# SPDX-License-Identifier: Apache-2.0
"""Writes head_64x10.tflite: a fully connected layer of 64 inputs and 10 outputs, and its softmax.

It has nothing in front of the layer that trains, so that a training step of it is the cost of the
head alone. Weights are random, from a fixed seed.
"""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

INPUTS, OUTPUTS = 64, 10
INPUT_SCALE, WEIGHT_SCALE = 0.05, 0.01


def tensor(
    model: schema.ModelT,
    name: str,
    shape: list[int],
    scale: float,
    *,
    zero: int,
    data: object = None,
) -> int:
    made = schema.TensorT()
    made.name, made.shape = name, shape
    made.type = schema.TensorType.INT32 if name == "bias" else schema.TensorType.INT8
    made.buffer = 0
    if data is not None:
        made.buffer = len(model.buffers)
        model.buffers.append(schema.BufferT(np.frombuffer(np.asarray(data).tobytes(), np.uint8)))
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale = [scale]
    made.quantization.zeroPoint = [zero]
    model.subgraphs[0].tensors.append(made)
    return len(model.subgraphs[0].tensors) - 1


def operator(
    model: schema.ModelT, kind: str, inputs: list[int], output: int, *, options: object, name: str
) -> None:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    code.version = 1
    model.operatorCodes.append(code)
    made = schema.OperatorT()
    made.opcodeIndex = len(model.operatorCodes) - 1
    made.inputs, made.outputs = inputs, [output]
    made.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    made.builtinOptions = options
    model.subgraphs[0].operators.append(made)


def build() -> bytes:
    """The file's bytes."""
    rng = np.random.RandomState(1)
    model = schema.ModelT()
    model.version, model.description = 3, "a head alone"
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    model.subgraphs = [schema.SubGraphT()]
    graph = model.subgraphs[0]
    graph.tensors, graph.operators, graph.name = [], [], "main"
    weights = rng.randint(-127, 128, (OUTPUTS, INPUTS)).astype(np.int8)
    bias = rng.randint(-999, 1000, OUTPUTS).astype(np.int32)
    x = tensor(model, "features", [1, INPUTS], INPUT_SCALE, zero=-128)
    w = tensor(model, "weights", [OUTPUTS, INPUTS], WEIGHT_SCALE, zero=0, data=weights)
    b = tensor(model, "bias", [OUTPUTS], INPUT_SCALE * WEIGHT_SCALE, zero=0, data=bias)
    logits = tensor(model, "logits", [1, OUTPUTS], 0.2, zero=0)
    y = tensor(model, "probabilities", [1, OUTPUTS], 1 / 256, zero=-128)
    operator(
        model, "FULLY_CONNECTED", [x, w, b], logits,
        options=schema.FullyConnectedOptionsT(), name="FullyConnectedOptions",
    )  # fmt: skip
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    operator(model, "SOFTMAX", [logits], y, options=softmax, name="SoftmaxOptions")
    graph.inputs, graph.outputs = [x], [y]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    Path(__file__).with_name("head_64x10.tflite").write_bytes(build())
