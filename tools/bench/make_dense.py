# SPDX-License-Identifier: Apache-2.0
"""Writes the small models that benches train: fully connected layers of 64, 10 and 64, 32, 10.

head_64x10.tflite has nothing in front of the layer that trains, so that a training step of it is
the cost of the head alone; mlp_64_32_10.tflite has a hidden layer with ReLU. Both end in a softmax.
Weights are random, from a fixed seed.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

INPUT_SCALE, WEIGHT_SCALE = 0.05, 0.01
RELU = schema.ActivationFunctionType.RELU
NONE = schema.ActivationFunctionType.NONE


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
    made.type = schema.TensorType.INT32 if name.startswith("bias") else schema.TensorType.INT8
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


def dense(
    model: schema.ModelT, source: int, shape: tuple[int, int], scale: float, *, activation: int,
    rng: np.random.RandomState,
) -> int:  # fmt: skip
    """Adds a fully connected layer of ``shape`` (outputs, inputs); returns its output."""
    graph = model.subgraphs[0]
    outputs, _ = shape
    before = graph.tensors[source].quantization.scale[0]
    tail = f"_{len(graph.operators)}" if graph.operators else ""
    weights = rng.randint(-127, 128, shape).astype(np.int8)
    bias = rng.randint(-999, 1000, outputs).astype(np.int32)
    w = tensor(model, f"weights{tail}", list(shape), WEIGHT_SCALE, zero=0, data=weights)
    b = tensor(model, f"bias{tail}", [outputs], before * WEIGHT_SCALE, zero=0, data=bias)
    zero = -128 if activation == RELU else 0
    name = "hidden" if activation == RELU else "logits"
    made = tensor(model, name, [1, outputs], scale, zero=zero)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = activation
    operator(
        model, "FULLY_CONNECTED", [source, w, b], made, options=options,
        name="FullyConnectedOptions",
    )  # fmt: skip
    return made


def build(sizes: tuple[int, ...]) -> bytes:
    """The file's bytes; ``sizes`` are those of the input and of each layer."""
    rng = np.random.RandomState(1)
    model = schema.ModelT()
    model.version, model.description = 3, "a head alone" if len(sizes) == 2 else "layers"
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    model.subgraphs = [schema.SubGraphT()]
    graph = model.subgraphs[0]
    graph.tensors, graph.operators, graph.name = [], [], "main"
    x = y = tensor(model, "features", [1, sizes[0]], INPUT_SCALE, zero=-128)
    for inputs, outputs in itertools.pairwise(sizes):
        last = outputs == sizes[-1]
        scale, activation = (0.2, NONE) if last else (0.1, RELU)
        y = dense(model, y, (outputs, inputs), scale, activation=activation, rng=rng)
    logits = y
    y = tensor(model, "probabilities", [1, sizes[-1]], 1 / 256, zero=-128)
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    operator(model, "SOFTMAX", [logits], y, options=softmax, name="SoftmaxOptions")
    graph.inputs, graph.outputs = [x], [y]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    here = Path(__file__)
    here.with_name("head_64x10.tflite").write_bytes(build((64, 10)))
    here.with_name("mlp_64_32_10.tflite").write_bytes(build((64, 32, 10)))
