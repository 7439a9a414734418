# SPDX-License-Identifier: Apache-2.0
"""Models whose last layer can be trained, one of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fleetgrad_codegen.program import Loss
from support.models import ModelBuilder, small_cnn, unpack
from support.stateful_ops import lstm

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE, CHANNELS = 3, 5
RELU = 1


def _pointwise(
    made: ModelBuilder, rng: np.random.Generator, outputs: int, activation: int
) -> tuple[int, int]:
    """A 1x1 convolution with a scale per channel; input and output tensor."""
    image = made.tensor((1, SIDE, SIDE, CHANNELS), 0.03, -20)
    scales = (0.004 + 0.001 * np.arange(outputs)).tolist()
    weights = rng.integers(-127, 128, (outputs, 1, 1, CHANNELS), np.int8)
    kernel = made.tensor(weights.shape, scales, [0] * outputs, data=weights)
    bias = made.tensor(
        (outputs,),
        [0.03 * s for s in scales],
        [0] * outputs,
        dtype="int32",
        data=rng.integers(-500, 500, outputs, np.int32),
    )
    zero = -128 if activation else -10
    made_of = made.tensor((1, SIDE, SIDE, outputs), 0.05, zero)
    made.op(
        "CONV_2D", (image, kernel, bias), (made_of,),
        padding=1, strideH=1, strideW=1, fusedActivationFunction=activation,
    )  # fmt: skip
    return image, made_of


def pooled_convolution(rng: np.random.Generator, activation: int = RELU) -> bytes:
    """1x1 convolution, global average pooling, reshape, softmax: four classes."""
    made = ModelBuilder()
    image, rows = _pointwise(made, rng, 4, activation)
    zero = -128 if activation else -10
    pooled = made.tensor((1, 1, 1, 4), 0.05, zero)
    made.op(
        "AVERAGE_POOL_2D", (rows,), (pooled,),
        padding=1, strideH=SIDE, strideW=SIDE, filterHeight=SIDE, filterWidth=SIDE,
    )  # fmt: skip
    flat = made.tensor((1, 4), 0.05, zero)
    shape = made.tensor((2,), dtype="int32", data=np.int32((1, 4)))
    made.op("RESHAPE", (pooled, shape), (flat,), newShape=[1, 4])
    output = made.tensor((1, 4), 1 / 256, -128)
    made.op("SOFTMAX", (flat,), (output,), beta=1.0)
    return made.build((image,), (output,))


def averaged_convolution(rng: np.random.Generator) -> bytes:
    """1x1 convolution and MEAN with another output scale: four numbers."""
    made = ModelBuilder()
    image, rows = _pointwise(made, rng, 4, 0)
    axes = made.tensor((2,), dtype="int32", data=np.int32((1, 2)))
    output = made.tensor((1, 4), 0.03, 7)
    made.op("MEAN", (rows, axes), (output,), keepDims=False)
    return made.build((image,), (output,))


def dense_convolution(rng: np.random.Generator) -> bytes:
    """1x1 convolution with a RELU, every position an output of its own."""
    made = ModelBuilder()
    image, rows = _pointwise(made, rng, 3, RELU)
    return made.build((image,), (rows,))


def autoencoder(rng: np.random.Generator) -> bytes:
    """Two fully connected layers, nine numbers in and out."""
    made = ModelBuilder()
    current = source = made.tensor((1, 9), 0.02, 4)
    for inputs, outputs, scale, zero in ((9, 4, 0.03, -128), (4, 9, 0.02, 4)):
        in_scale = 0.02 if inputs == 9 else 0.03
        weights = made.tensor(
            (outputs, inputs), 0.01, data=rng.integers(-127, 128, (outputs, inputs), np.int8)
        )
        bias = made.tensor(
            (outputs,),
            in_scale * 0.01,
            dtype="int32",
            data=rng.integers(-300, 300, outputs, np.int32),
        )
        after = made.tensor((1, outputs), scale, zero)
        made.op(
            "FULLY_CONNECTED", (current, weights, bias), (after,),
            fusedActivationFunction=RELU if inputs == 9 else 0,
        )  # fmt: skip
        current = after
    return made.build((source,), (current,))


def gate(rng: np.random.Generator, outputs: int = 1) -> bytes:
    """Two fully connected layers, and the chance of each of some answers."""
    made = ModelBuilder()
    current = source = made.tensor((1, 9), 0.02, 4)
    for inputs, count, scale, zero in ((9, 6, 0.03, -128), (6, outputs, 0.04, 4)):
        in_scale = 0.02 if inputs == 9 else 0.03
        data = rng.integers(-127, 128, (count, inputs), np.int8)
        weights = made.tensor((count, inputs), 0.01, data=data)
        bias = made.tensor(
            (count,), in_scale * 0.01, dtype="int32", data=rng.integers(-300, 300, count, np.int32)
        )
        after = made.tensor((1, count), scale, zero)
        made.op(
            "FULLY_CONNECTED", (current, weights, bias), (after,),
            fusedActivationFunction=RELU if inputs == 9 else 0,
        )  # fmt: skip
        current = after
    output = made.tensor((1, outputs), 1 / 256, -128)
    made.op("LOGISTIC", (current,), (output,))
    return made.build((source,), (output,))


def gates(rng: np.random.Generator) -> bytes:
    """The same with nine outputs, as an autoencoder has them."""
    return gate(rng, 9)


def recurrent(rng: np.random.Generator) -> bytes:
    """An LSTM, whose state must not leak from sample to sample, in front of the head."""
    made = ModelBuilder()
    made.model = unpack(lstm(rng, coupled=False))
    made.graph = made.model.subgraphs[0]
    (source,), (sequence,) = made.graph.inputs, made.graph.outputs
    tensor = made.graph.tensors[sequence]
    count = int(np.prod(tensor.shape))
    scale, zero = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    flat = made.tensor((1, count), scale, zero)
    shape = made.tensor((2,), dtype="int32", data=np.int32((1, count)))
    made.op("RESHAPE", (sequence, shape), (flat,), newShape=[1, count])
    weights = made.tensor((4, count), 0.01, data=rng.integers(-127, 128, (4, count), np.int8))
    bias = made.tensor((4,), scale * 0.01, dtype="int32", data=rng.integers(-500, 500, 4, np.int32))
    logits = made.tensor((1, 4), 0.05, 3)
    made.op("FULLY_CONNECTED", (flat, weights, bias), (logits,))
    output = made.tensor((1, 4), 1 / 256, -128)
    made.op("SOFTMAX", (logits,), (output,), beta=1.0)
    return made.build((source,), (output,))


HEADS: dict[str, tuple[Callable[[np.random.Generator], bytes], Loss]] = {
    "fully-connected": (small_cnn, Loss.SOFTMAX_CROSS_ENTROPY),
    "pooled-convolution": (pooled_convolution, Loss.SOFTMAX_CROSS_ENTROPY),
    "averaged-convolution": (averaged_convolution, Loss.SQUARED_ERROR),
    "averaged-logits": (averaged_convolution, Loss.SOFTMAX_CROSS_ENTROPY),
    "dense-convolution": (dense_convolution, Loss.SQUARED_ERROR),
    "autoencoder": (autoencoder, Loss.SQUARED_ERROR),
    "recurrent": (recurrent, Loss.SOFTMAX_CROSS_ENTROPY),
    "gate": (gate, Loss.BINARY_CROSS_ENTROPY),
    "gates": (gates, Loss.BINARY_CROSS_ENTROPY),
    "gates-squared": (gates, Loss.SQUARED_ERROR),
}
"""By name: what makes the model, and a loss that fits it."""


def classifier(rng: np.random.Generator, inputs: int = 64, classes: int = 10) -> bytes:
    """A head and nothing else: fully connected, softmax."""
    made = ModelBuilder()
    source = made.tensor((1, inputs), 0.02, -128)
    weights = made.tensor(
        (classes, inputs), 0.006, data=rng.integers(-127, 128, (classes, inputs), np.int8)
    )
    bias = made.tensor(
        (classes,), 0.02 * 0.006, dtype="int32", data=rng.integers(-99, 99, classes, np.int32)
    )
    logits = made.tensor((1, classes), 0.1, 3)
    made.op("FULLY_CONNECTED", (source, weights, bias), (logits,))
    output = made.tensor((1, classes), 1 / 256, -128)
    made.op("SOFTMAX", (logits,), (output,), beta=1.0)
    return made.build((source,), (output,))
