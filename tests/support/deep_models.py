# SPDX-License-Identifier: Apache-2.0
"""Networks of several layers, to train more than the last one of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from support.models import ModelBuilder, small_cnn

if TYPE_CHECKING:
    from collections.abc import Callable

NONE, RELU, RELU6 = 0, 1, 3
SAME, VALID = 0, 1


class Network:
    """Adds layers one after the other; weights have a scale per channel."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.made = ModelBuilder()
        self.rng = rng
        self.scale: dict[int, float] = {}

    def image(self, side: int, depth: int) -> int:
        index = self.made.tensor((1, side, side, depth), 0.02, 5)
        self.scale[index] = 0.02
        return index

    def tensor(self, shape: tuple[int, ...], scale: float, zero: int) -> int:
        index = self.made.tensor(shape, scale, zero)
        self.scale[index] = scale
        return index

    def weights(self, shape: tuple[int, ...], axis: int, source: int, spread: float) -> list[int]:
        channels = shape[axis]
        scales = (spread * (0.5 + np.arange(channels) % 3)).tolist()
        data = self.rng.integers(-127, 128, shape, np.int8)
        kernel = self.made.tensor(shape, scales, [0] * channels, axis=axis, data=data)
        bias = self.made.tensor(
            (channels,),
            [self.scale[source] * s for s in scales],
            [0] * channels,
            dtype="int32",
            data=self.rng.integers(-2000, 2000, channels, np.int32),
        )
        return [kernel, bias]

    def conv(
        self, source: int, outputs: int, *, window: int = 3, stride: int = 1,
        padding: int = SAME, activation: int = RELU, scale: float = 0.03,
    ) -> int:  # fmt: skip
        _, side, _, depth = self.shape(source)
        weights = self.weights((outputs, window, window, depth), 0, source, 0.02 / window / depth)
        made = self.tensor(
            (1, *[_size(side, window, stride, padding)] * 2, outputs), scale, _zero(activation)
        )
        self.made.op(
            "CONV_2D", (source, *weights), (made,), padding=padding, strideH=stride,
            strideW=stride, fusedActivationFunction=activation,
        )  # fmt: skip
        return made

    def depthwise(
        self, source: int, *, multiplier: int = 1, window: int = 3, stride: int = 1,
        activation: int = RELU,
    ) -> int:  # fmt: skip
        _, side, _, depth = self.shape(source)
        shape = (1, window, window, depth * multiplier)
        weights = self.weights(shape, 3, source, 0.02 / window)
        made = self.tensor(
            (1, *[_size(side, window, stride, SAME)] * 2, depth * multiplier), 0.03,
            _zero(activation),
        )  # fmt: skip
        self.made.op(
            "DEPTHWISE_CONV_2D", (source, *weights), (made,), padding=SAME, strideH=stride,
            strideW=stride, depthMultiplier=multiplier, fusedActivationFunction=activation,
        )  # fmt: skip
        return made

    def add(self, one: int, other: int, activation: int = RELU) -> int:
        return self.pair("ADD", one, other, 0.04, activation)

    def pair(self, kind: str, one: int, other: int, scale: float, activation: int = NONE) -> int:
        """SUB or MUL, with repetition."""
        shape = tuple(np.broadcast_shapes(self.shape(one), self.shape(other)))
        made = self.tensor(shape, scale, _zero(activation))
        self.made.op(kind, (one, other), (made,), fusedActivationFunction=activation)
        return made

    def lookup(self, kind: str, source: int) -> int:
        """LOGISTIC or TANH."""
        scale, zero = (1 / 256, -128) if kind == "LOGISTIC" else (1 / 128, 0)
        made = self.tensor(self.shape(source), scale, zero)
        self.made.op(kind, (source,), (made,))
        return made

    def concatenation(self, axis: int, *sources: int) -> int:
        shape = list(self.shape(sources[0]))
        shape[axis] = sum(self.shape(source)[axis] for source in sources)
        zero = self.made.graph.tensors[sources[0]].quantization.zeroPoint[0]
        made = self.tensor(tuple(shape), self.scale[sources[0]], zero)
        self.made.op("CONCATENATION", sources, (made,), axis=axis)
        return made

    def resize(self, source: int, side: int) -> int:
        depth = self.shape(source)[3]
        zero = self.made.graph.tensors[source].quantization.zeroPoint[0]
        made = self.tensor((1, side, side, depth), self.scale[source], zero)
        size = self.made.tensor((2,), dtype="int32", data=np.int32((side, side)))
        self.made.op("RESIZE_NEAREST_NEIGHBOR", (source, size), (made,))
        return made

    def constant(self, shape: tuple[int, ...], scale: float, zero: int) -> int:
        data = self.rng.integers(-128, 128, shape, np.int8)
        index = self.made.tensor(shape, scale, zero, data=data)
        self.scale[index] = scale
        return index

    def pool(
        self, kind: str, source: int, window: int, padding: int = VALID, stride: int = 0
    ) -> int:
        _, side, _, depth = self.shape(source)
        stride = stride or window
        size = _size(side, window, stride, padding)
        zero = self.made.graph.tensors[source].quantization.zeroPoint[0]
        made = self.tensor((1, size, size, depth), self.scale[source], zero)
        self.made.op(
            kind, (source,), (made,), padding=padding, strideH=stride, strideW=stride,
            filterHeight=window, filterWidth=window,
        )  # fmt: skip
        return made

    def pad(self, source: int) -> int:
        _, side, _, depth = self.shape(source)
        zero = self.made.graph.tensors[source].quantization.zeroPoint[0]
        made = self.tensor((1, side + 3, side + 3, depth), self.scale[source], zero)
        widths = np.int32([[0, 0], [1, 2], [2, 1], [0, 0]])
        self.made.op("PAD", (source, self.made.tensor((4, 2), dtype="int32", data=widths)), (made,))
        return made

    def mean(self, source: int) -> int:
        made = self.tensor((1, self.shape(source)[3]), 0.02, -100)
        axes = self.made.tensor((2,), dtype="int32", data=np.int32((1, 2)))
        self.made.op("MEAN", (source, axes), (made,), keepDims=False)
        return made

    def flat(self, source: int) -> int:
        count = int(np.prod(self.shape(source)))
        zero = self.made.graph.tensors[source].quantization.zeroPoint[0]
        made = self.tensor((1, count), self.scale[source], zero)
        shape = self.made.tensor((2,), dtype="int32", data=np.int32((1, count)))
        self.made.op("RESHAPE", (source, shape), (made,), newShape=[1, count])
        return made

    def dense(self, source: int, outputs: int, activation: int = RELU) -> int:
        inputs = self.shape(source)[1]
        weights = self.weights((outputs, inputs), 0, source, 0.03 / inputs)
        made = self.tensor((1, outputs), 0.03, _zero(activation))
        self.made.op(
            "FULLY_CONNECTED", (source, *weights), (made,), fusedActivationFunction=activation
        )
        return made

    def softmax(self, source: int, image: int) -> bytes:
        made = self.made.tensor(self.shape(source), 1 / 256, -128)
        self.made.op("SOFTMAX", (source,), (made,), beta=1.0)
        return self.made.build((image,), (made,))

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(self.made.graph.tensors[index].shape)


def _size(side: int, window: int, stride: int, padding: int) -> int:
    return (side - 1) // stride + 1 if padding == SAME else (side - window) // stride + 1


def _zero(activation: int) -> int:
    return -128 if activation else -7


def residual(rng: np.random.Generator) -> bytes:
    """Two additions (one with a convolution on the short way), pad, max-pool, MEAN."""
    net = Network(rng)
    image = net.image(7, 2)
    start = net.conv(image, 6)
    left = net.conv(net.conv(start, 6, activation=RELU6), 6, activation=NONE)
    joined = net.add(start, left)
    down = net.conv(net.pad(joined), 8, stride=2, padding=VALID, activation=NONE)
    side = net.conv(joined, 8, window=1, stride=2, activation=NONE)
    wide = net.conv(net.pad(net.conv(side, 5, window=1)), 8, padding=VALID, window=4, scale=0.05)
    joined = net.add(down, wide, NONE)
    return net.softmax(net.dense(net.mean(joined), 4, NONE), image)


def separable(rng: np.random.Generator) -> bytes:
    """Depthwise and pointwise convolutions, both poolings, two fully connected layers."""
    net = Network(rng)
    image = net.image(9, 3)
    x = net.pool("MAX_POOL_2D", net.conv(image, 8, stride=1), 2, SAME)
    x = net.conv(net.depthwise(x), 10, window=1)
    x = net.conv(net.depthwise(x, multiplier=2, stride=2), 6, window=1)
    x = net.pool("AVERAGE_POOL_2D", x, 3)
    return net.softmax(net.dense(net.dense(net.flat(x), 7), 5, NONE), image)


def turned(rng: np.random.Generator) -> bytes:
    """A transposition, then a mean over one dimension after the other, as exporters write it."""
    net = Network(rng)
    image = net.image(6, 2)
    x = net.conv(net.conv(image, 5), 6, window=1, activation=NONE)
    order = net.made.tensor((4,), dtype="int32", data=np.int32((0, 3, 1, 2)))
    x, before = net.tensor((1, 6, 6, 6), net.scale[x], -7), x
    net.made.op("TRANSPOSE", (before, order), (x,))
    for shape, axis in (((1, 6, 6), 3), ((1, 6), 2)):
        x, before = net.tensor(shape, 0.02, -7), x
        axes = net.made.tensor((1,), dtype="int32", data=np.int32((axis,)))
        net.made.op("MEAN", (before, axes), (x,), keepDims=False)
    return net.softmax(net.dense(x, 4, NONE), image)


def spectral(rng: np.random.Generator) -> bytes:
    """Several depthwise filters on a single channel, as models of sounds begin."""
    net = Network(rng)
    image = net.image(6, 1)
    x = net.depthwise(image, multiplier=6, stride=2)
    return net.softmax(net.dense(net.flat(net.conv(x, 4)), 3, NONE), image)


def gated(rng: np.random.Generator) -> bytes:
    """Products (with itself, repeated, constant), differences, both curves, two concatenations."""
    net = Network(rng)
    image = net.image(6, 2)
    x = net.conv(image, 4, activation=NONE)
    gate = net.lookup("LOGISTIC", net.conv(x, 4, window=1, activation=NONE, scale=0.05))
    x = net.pair("MUL", x, gate, 0.02)
    bent = net.lookup("TANH", net.conv(image, 4, activation=NONE))
    x = net.pair("SUB", net.pair("MUL", bent, bent, 0.01), x, 0.04)
    wide = net.concatenation(3, net.conv(x, 3), net.conv(x, 5, window=1))
    mean = net.made.tensor((1, 1, 1, 8), 0.02, -100)
    net.scale[mean] = 0.02
    axes = net.made.tensor((2,), dtype="int32", data=np.int32((1, 2)))
    net.made.op("MEAN", (wide, axes), (mean,), keepDims=True)
    x = net.pair("MUL", wide, mean, 0.02)
    x = net.pair("SUB", net.constant((8,), 0.01, 3), x, 0.03, RELU)
    x = net.add(x, x)
    tall = net.concatenation(1, net.conv(x, 3), net.conv(x, 3))
    return net.softmax(net.dense(net.flat(tall), 4, NONE), image)


def overlapping(rng: np.random.Generator) -> bytes:
    """Poolings whose windows overlap or reach over the border, and images that grow and shrink."""
    net = Network(rng)
    image = net.image(9, 2)
    x = net.pool("MAX_POOL_2D", net.conv(image, 5), 3, SAME, stride=2)
    x = net.pool("AVERAGE_POOL_2D", net.conv(x, 5, activation=NONE), 3, SAME, stride=1)
    x = net.conv(net.resize(x, 8), 4)
    x = net.pool("AVERAGE_POOL_2D", x, 3, VALID, stride=2)
    x = net.pool("AVERAGE_POOL_2D", net.conv(x, 4, activation=NONE), 2, SAME)
    x = net.resize(net.conv(net.resize(x, 5), 4, window=1), 3)
    x = net.pool("MAX_POOL_2D", x, 2, VALID, stride=1)
    return net.softmax(net.dense(net.flat(x), 4, NONE), image)


DEEP: dict[str, Callable[[np.random.Generator], bytes]] = {
    "cnn": small_cnn,
    "residual": residual,
    "separable": separable,
    "turned": turned,
    "spectral": spectral,
    "gated": gated,
    "overlapping": overlapping,
}
"""Networks by name; all end in SOFTMAX."""
