# SPDX-License-Identifier: Apache-2.0
"""Random models of one operator, or little more, to run generated code on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from support.draws import random_scale, random_size, random_zero
from support.models import ModelBuilder
from support.stateful_ops import lstm, svdf8, svdf16
from support.strategies import float32, int8s

if TYPE_CHECKING:
    from collections.abc import Callable


def conv_2d(rng: np.random.Generator) -> bytes:
    return _convolution(rng, depthwise=False)


def depthwise_conv_2d(rng: np.random.Generator) -> bytes:
    return _convolution(rng, depthwise=True)


def _convolution(rng: np.random.Generator, *, depthwise: bool) -> bytes:
    channels = random_size(rng)
    filters = channels * int(rng.choice([1, 1, 2, 3])) if depthwise else random_size(rng, 13)
    kernel, stride = rng.integers(1, 6, 2), rng.integers(1, 4, 2)
    dilation = np.array([(1, 1), (1, 1), (2, 1), (1, 3), (2, 2)])[rng.integers(5)]
    padding = int(rng.integers(2))
    size, out = _window(rng, kernel, stride, dilation, padding)
    shape = (1, *kernel, filters) if depthwise else (filters, *kernel, channels)
    taps = int(np.prod(kernel)) * (1 if depthwise else channels)
    weight_scales = [float32(s) for s in np.exp(rng.uniform(-6, -3, filters))]
    scale = random_scale(rng)
    made = ModelBuilder()
    source = made.tensor((1, *size, channels), scale, random_zero(rng))
    weights = made.tensor(
        shape, weight_scales, axis=3 if depthwise else 0, data=int8s(rng, shape, -127)
    )
    inputs = [source, weights]
    if rng.integers(4):
        bias = rng.integers(-9000, 9000, filters, np.int32)
        inputs.append(
            made.tensor((filters,), scale * np.float32(weight_scales), dtype="int32", data=bias)
        )
    spread = scale * float(np.mean(weight_scales)) * 74 * 74 * np.sqrt(taps) / 64
    target = made.tensor((1, *out, filters), float32(spread), random_zero(rng))
    options = {"depthMultiplier": filters // channels} if depthwise else {}
    made.op(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, [target], padding=padding,
        strideH=int(stride[0]), strideW=int(stride[1]), dilationHFactor=int(dilation[0]),
        dilationWFactor=int(dilation[1]), fusedActivationFunction=int(rng.integers(4)), **options,
    )  # fmt: skip
    return made.build([source], [target])


def _window(
    rng: np.random.Generator,
    kernel: np.ndarray,
    stride: np.ndarray,
    dilation: np.ndarray,
    padding: int,
) -> tuple[list[int], list[int]]:
    """Sizes of input and output that fit a window."""
    reach = (kernel - 1) * dilation + 1
    size = rng.integers(1, 10, 2)
    if padding == 1:
        size = np.maximum(size, reach)
        return size.tolist(), ((size - reach) // stride + 1).tolist()
    return size.tolist(), (-(-size // stride)).tolist()


def fully_connected(rng: np.random.Generator) -> bytes:
    depth, units = random_size(rng, 200), random_size(rng, 40)
    rows = int(rng.choice([1, 1, 3]))
    scale = random_scale(rng)
    count = int(rng.choice([1, units]))
    weight_scales = [float32(s) for s in np.exp(rng.uniform(-6, -3, count))]
    made = ModelBuilder()
    shape = (1, depth) if rows == 1 else (1, rows, depth)
    source = made.tensor(shape, scale, random_zero(rng))
    weights = made.tensor((units, depth), weight_scales, data=int8s(rng, (units, depth), -127))
    bias = made.tensor(
        (units,), scale * np.float32(weight_scales), dtype="int32",
        data=rng.integers(-50000, 50000, units, np.int32),
    )  # fmt: skip
    spread = scale * float(np.mean(weight_scales)) * 74 * 74 * np.sqrt(depth) / 64
    target = made.tensor((*shape[:-1], units), float32(spread), random_zero(rng))
    made.op(
        "FULLY_CONNECTED", [source, weights, bias], [target],
        fusedActivationFunction=int(rng.integers(4)), keepNumDims=rows > 1,
    )  # fmt: skip
    return made.build([source], [target])


def conv_2d_of_huge_sums(rng: np.random.Generator) -> bytes:
    return _huge_sums(rng, "CONV_2D", (1, 1, 1, 1))


def fully_connected_of_huge_sums(rng: np.random.Generator) -> bytes:
    return _huge_sums(rng, "FULLY_CONNECTED", (1, 1))


def _huge_sums(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> bytes:
    """Sums anywhere in int32, factors from 2**-30 to 2**10: saturation, shifts of every width."""
    units, factor = 64, float(2.0 ** rng.uniform(-30, 10))
    made = ModelBuilder()
    source = made.tensor(shape, 1.0, 0)
    nothing = np.zeros((units, *shape[1:]), np.int8)
    weights = made.tensor(nothing.shape, factor, data=nothing)
    most = min(2**31 - 1, int(0.99 * 2**30 / factor))  # beyond it models are refused
    near, far = (rng.integers(-n, n + 1, units) for n in (min(most, int(200 / factor) + 2), most))
    values = np.where(rng.integers(2, size=units), near, far).astype(np.int32)
    values[:2] = most, -most
    bias = made.tensor((units,), factor, dtype="int32", data=values)
    target = made.tensor((*shape[:-1], units), 1.0, random_zero(rng))
    options = {"padding": 1, "strideH": 1, "strideW": 1} if kind == "CONV_2D" else {}
    made.op(kind, [source, weights, bias], [target], **options)
    return made.build([source], [target])


def average_pool_2d(rng: np.random.Generator) -> bytes:
    return _pooling(rng, "AVERAGE_POOL_2D")


def max_pool_2d(rng: np.random.Generator) -> bytes:
    return _pooling(rng, "MAX_POOL_2D")


def _pooling(rng: np.random.Generator, kind: str) -> bytes:
    channels, padding = random_size(rng), int(rng.integers(2))
    window, stride = rng.integers(1, 6, 2), rng.integers(1, 4, 2)
    size, out = _window(rng, window, stride, np.array([1, 1]), padding)
    scale, zero = random_scale(rng), random_zero(rng)
    made = ModelBuilder()
    source = made.tensor((1, *size, channels), scale, zero)
    target = made.tensor((1, *out, channels), scale, zero)
    made.op(
        kind, [source], [target], padding=padding, strideH=int(stride[0]), strideW=int(stride[1]),
        filterHeight=int(window[0]), filterWidth=int(window[1]),
        fusedActivationFunction=int(rng.integers(4)),
    )  # fmt: skip
    return made.build([source], [target])


def mean(rng: np.random.Generator) -> bytes:
    shape = (1, *(random_size(rng, 12) for _ in range(3)))
    choices = [(1, 2), (2, 1), (-2, -3), (1,), (3,), (2, 3), (1, 3), (1, 2, 3)]
    axes = choices[rng.integers(len(choices))]
    keep = bool(rng.integers(2))
    gone = {a % 4 for a in axes}
    left = [1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone]
    made = ModelBuilder()
    source = made.tensor(shape, random_scale(rng), random_zero(rng))
    indices = made.tensor((len(axes),), dtype="int32", data=np.int32(axes))
    target = made.tensor(left, random_scale(rng), random_zero(rng))
    made.op("MEAN", [source, indices], [target], keepDims=keep)
    return made.build([source], [target])


def add(rng: np.random.Generator) -> bytes:
    return _elementwise(rng, "ADD")


def sub(rng: np.random.Generator) -> bytes:
    return _elementwise(rng, "SUB")


def mul(rng: np.random.Generator) -> bytes:
    return _elementwise(rng, "MUL")


def _elementwise(rng: np.random.Generator, kind: str) -> bytes:
    """The input and a copy in another quantisation, or a constant, in either order.

    A constant may be repeated along some dimensions, and the input along others.
    """
    shape = (1, *(random_size(rng) for _ in range(random_size(rng, 3))))
    made = ModelBuilder()
    first, second = random_scale(rng), random_scale(rng)
    source_shape = other_shape = shape
    copied = bool(rng.integers(2))
    if not copied:
        source_shape, other_shape = broadcast_pair(rng, shape)
    source = made.tensor(source_shape, first, random_zero(rng))
    if copied:
        other = made.tensor(shape, second, random_zero(rng))
        made.op("QUANTIZE", [source], [other])
    else:
        other = made.tensor(other_shape, second, random_zero(rng), data=int8s(rng, other_shape))
    shape = np.broadcast_shapes(source_shape, other_shape)
    scale = first * second * 64 if kind == "MUL" else first + second
    target = made.tensor(shape, float32(scale), random_zero(rng))
    sources = [source, other] if rng.integers(2) else [other, source]
    made.op(kind, sources, [target], fusedActivationFunction=int(rng.integers(4)))
    return made.build([source], [target])


def broadcast_pair(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that make ``shape`` or less together; the first keeps its rank."""
    first, second = np.array(shape), np.array(shape)
    kind = rng.integers(4)
    if kind == 1:  # a constant per channel
        return shape, shape[-1:]
    if kind == 2:  # a scalar
        return shape, ()
    if kind == 3:
        place = int(rng.integers(1, len(shape)))
        first[place:] = 1
        second[:place] = 1
    return tuple(first.tolist()), tuple(second.tolist())


def transpose(rng: np.random.Generator) -> bytes:
    rank = int(rng.integers(2, 6))
    shape = (1, *(random_size(rng, 5) for _ in range(rank - 1)))
    order = [0, *(1 + rng.permutation(rank - 1))]
    scale, zero = random_scale(rng), random_zero(rng)
    made = ModelBuilder()
    source = made.tensor(shape, scale, zero)
    permutation = made.tensor((rank,), dtype="int32", data=np.int32(order))
    target = made.tensor([shape[i] for i in order], scale, zero)
    made.op("TRANSPOSE", [source, permutation], [target])
    return made.build([source], [target])


def logistic(rng: np.random.Generator) -> bytes:
    return _lookup(rng, "LOGISTIC", 1 / 256)


def tanh(rng: np.random.Generator) -> bytes:
    return _lookup(rng, "TANH", 1 / 128)


def _lookup(rng: np.random.Generator, kind: str, scale: float) -> bytes:
    made = ModelBuilder()
    source = made.tensor((1, 300), float32(random_scale(rng) / 16), random_zero(rng))
    target = made.tensor((1, 300), scale, -128 if kind == "LOGISTIC" else 0)
    made.op(kind, [source], [target])
    return made.build([source], [target])


def concatenation(rng: np.random.Generator) -> bytes:
    """The input, twice perhaps, and constants, along any dimension but the first."""
    rank = int(rng.integers(2, 5))
    shape = [1, *(random_size(rng, 6) for _ in range(rank - 1))]
    axis = int(rng.integers(1, rank))
    scale, zero = random_scale(rng), random_zero(rng)
    made = ModelBuilder()
    source = made.tensor(shape, scale, zero)
    inputs = [source] * int(rng.integers(1, 3))
    for _ in range(rng.integers(3)):
        other = [*shape[:axis], random_size(rng, 4), *shape[axis + 1 :]]
        inputs.append(made.tensor(other, scale, zero, data=int8s(rng, tuple(other))))
    inputs = [inputs[i] for i in rng.permutation(len(inputs))]
    width = sum(made.graph.tensors[index].shape[axis] for index in inputs)
    target = made.tensor([*shape[:axis], width, *shape[axis + 1 :]], scale, zero)
    made.op("CONCATENATION", inputs, [target], axis=axis - int(rng.choice([0, rank])))
    return made.build([source], [target])


def resize_nearest_neighbor(rng: np.random.Generator) -> bytes:
    before, after = rng.integers(1, 12, 2), rng.integers(1, 24, 2)
    channels = random_size(rng, 4)
    scale, zero = random_scale(rng), random_zero(rng)
    made = ModelBuilder()
    source = made.tensor((1, *before, channels), scale, zero)
    size = made.tensor((2,), dtype="int32", data=after.astype(np.int32))
    target = made.tensor((1, *after, channels), scale, zero)
    corners = bool(rng.integers(2))
    made.op(
        "RESIZE_NEAREST_NEIGHBOR", [source, size], [target],
        alignCorners=corners, halfPixelCenters=not corners and bool(rng.integers(2)),
    )  # fmt: skip
    return made.build([source], [target])


def pad(rng: np.random.Generator) -> bytes:
    rank = int(rng.integers(2, 5))
    shape = (1, *(random_size(rng) for _ in range(rank - 1)))
    widths = np.concatenate([np.zeros((1, 2), int), rng.integers(0, 4, (rank - 1, 2))])
    widths *= rng.integers(0, 2, (rank, 1))
    scale, zero = random_scale(rng), random_zero(rng)
    made = ModelBuilder()
    source = made.tensor(shape, scale, zero)
    paddings = made.tensor((rank, 2), dtype="int32", data=widths.astype(np.int32))
    target = made.tensor((np.array(shape) + widths.sum(axis=1)).tolist(), scale, zero)
    made.op("PAD", [source, paddings], [target])
    return made.build([source], [target])


def softmax(rng: np.random.Generator) -> bytes:
    shapes = [(1, 1), (1, 2), (1, 10), (1, 3, 7), (1, 100), (1, 1, 2, 12), (1, 1500)]
    shape = shapes[rng.integers(len(shapes))]
    made = ModelBuilder()
    source = made.tensor(shape, float32(np.exp(rng.uniform(-14, 3))), random_zero(rng))
    target = made.tensor(shape, 1 / 256, -128)
    made.op("SOFTMAX", [source], [target], beta=float(rng.choice([1.0, 0.5, 2.0, 10.0])))
    return made.build([source], [target])


def quantize(rng: np.random.Generator) -> bytes:
    """Two in a row, each time with other scales."""
    made = ModelBuilder()
    shape = (1, 256)
    source = made.tensor(shape, random_scale(rng), random_zero(rng))
    middle = made.tensor(shape, random_scale(rng), random_zero(rng))
    target = made.tensor(shape, random_scale(rng), random_zero(rng))
    made.op("QUANTIZE", [source], [middle])
    made.op("QUANTIZE", [middle], [target])
    return made.build([source], [target])


def reshape(rng: np.random.Generator) -> bytes:
    """A view in the middle, whose input is read again after it."""
    made = ModelBuilder()
    scale, zero = random_scale(rng), random_zero(rng)
    source = made.tensor((1, 4, 6), scale, zero)
    flat = made.tensor((1, 24), scale, zero)
    shape = made.tensor((2,), dtype="int32", data=np.int32((1, 24)))
    made.op("RESHAPE", [source, shape], [flat], newShape=[1, 24])
    other = made.tensor((1, 24), random_scale(rng), random_zero(rng))
    made.op("QUANTIZE", [flat], [other])
    total = made.tensor((1, 24), random_scale(rng), random_zero(rng))
    made.op("ADD", [other, flat], [total])
    return made.build([source], [total])


SINGLE_OPS: dict[str, Callable[[np.random.Generator], bytes]] = {
    made.__name__: made
    for made in (
        add,
        average_pool_2d,
        concatenation,
        conv_2d,
        conv_2d_of_huge_sums,
        depthwise_conv_2d,
        fully_connected,
        fully_connected_of_huge_sums,
        logistic,
        lstm,
        max_pool_2d,
        mean,
        mul,
        pad,
        quantize,
        reshape,
        resize_nearest_neighbor,
        softmax,
        sub,
        svdf16,
        svdf8,
        tanh,
        transpose,
    )
}
"""By operator."""
