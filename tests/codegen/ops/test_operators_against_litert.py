# SPDX-License-Identifier: Apache-2.0
"""Every operator on its own, with any options and numbers, against LiteRT's reference kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.frontend.tflite import parse_model
from fleetgrad_codegen.ops import check_op
from support.agreement import agree, checked
from support.models import ModelBuilder
from support.oracle import Oracle
from support.strategies import float32, generators, int8s, scales, zero_points

activations = st.sampled_from([0, 1, 2, 3])
sizes = st.integers(1, 9)


def weight_scales(
    data: st.DataObject, rng: np.random.Generator, channels: int
) -> float | list[float]:
    if data.draw(st.booleans(), label="per tensor"):
        return data.draw(scales(1e-3, 0.1))
    return [float32(s) for s in np.exp(rng.uniform(-7, -2, channels))]


def output_scale(
    data: st.DataObject, source: float, weights: float | list[float], depth: int
) -> float:
    """Mostly one on which outputs spread over the range; now and then any."""
    if data.draw(st.integers(0, 4), label="any scale") == 0:
        return data.draw(scales())
    typical = source * float(np.mean(weights)) * 74 * 74 * np.sqrt(depth) / 64
    return float32(typical * data.draw(st.floats(0.3, 3)))


@given(data=st.data(), rng=generators(), padding=st.sampled_from([0, 1]), activation=activations)
@checked
def test_conv_2d(
    interpreters: tuple[Oracle, ...],
    data: st.DataObject,
    rng: np.random.Generator,
    padding: int,
    activation: int,
) -> None:
    height, width, channels, filters = (data.draw(sizes) for _ in range(4))
    kernel = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)))
    stride = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    dilation = data.draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3), (2, 2)]))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == 1:
        height, width = max(height, reach[0]), max(width, reach[1])
        out = [(n - r) // s + 1 for n, r, s in zip((height, width), reach, stride, strict=True)]
    else:
        out = [-(-n // s) for n, s in zip((height, width), stride, strict=True)]
    scale, ws = data.draw(scales()), weight_scales(data, rng, filters)
    shape = (filters, *kernel, channels)
    weights, zeros = int8s(rng, shape, -127), (data.draw(zero_points()), data.draw(zero_points()))
    target_scale = output_scale(data, scale, ws, kernel[0] * kernel[1] * channels)
    values = rng.integers(-50000, 50000, filters, np.int32)

    def model(bias: np.ndarray | None) -> bytes:
        made = ModelBuilder()
        source = made.tensor((1, height, width, channels), scale, zeros[0])
        inputs = [source, made.tensor(shape, ws, data=weights)]
        if bias is not None:
            inputs.append(made.tensor((filters,), scale * np.float32(ws), dtype="int32", data=bias))
        target = made.tensor((1, *out, filters), target_scale, zeros[1])
        made.op(
            "CONV_2D", inputs, [target], padding=padding, strideH=stride[0], strideW=stride[1],
            dilationHFactor=dilation[0], dilationWFactor=dilation[1],
            fusedActivationFunction=activation,
        )  # fmt: skip
        return made.build([source], [target])

    x = int8s(rng, (1, height, width, channels))
    if data.draw(st.booleans(), label="bias"):
        agree(interpreters, model(values), x)
    else:  # LiteRT wants a bias here, TFLite Micro does not
        agree(interpreters, model(None), x, judged=model(np.zeros(filters, np.int32)))


@given(data=st.data(), rng=generators(), padding=st.sampled_from([0, 1]), activation=activations)
@checked
def test_depthwise_conv_2d(
    interpreters: tuple[Oracle, ...],
    data: st.DataObject,
    rng: np.random.Generator,
    padding: int,
    activation: int,
) -> None:
    height, width, channels = (data.draw(sizes) for _ in range(3))
    multiplier = data.draw(st.sampled_from([1, 1, 2, 3, 8]))
    filters = channels * multiplier
    kernel = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)))
    stride = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    dilation = data.draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3), (2, 2)]))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == 1:
        height, width = max(height, reach[0]), max(width, reach[1])
        out = [(n - r) // s + 1 for n, r, s in zip((height, width), reach, stride, strict=True)]
    else:
        out = [-(-n // s) for n, s in zip((height, width), stride, strict=True)]
    scale, ws = data.draw(scales()), weight_scales(data, rng, filters)
    made = ModelBuilder()
    source = made.tensor((1, height, width, channels), scale, data.draw(zero_points()))
    shape = (1, *kernel, filters)
    weights = made.tensor(shape, ws, axis=3, data=int8s(rng, shape, -127))
    inputs = [source, weights]
    if data.draw(st.booleans(), label="bias"):
        values = rng.integers(-9000, 9000, filters, np.int32)
        inputs.append(made.tensor((filters,), scale * np.float32(ws), dtype="int32", data=values))
    target = made.tensor(
        (1, *out, filters),
        output_scale(data, scale, ws, kernel[0] * kernel[1]),
        data.draw(zero_points()),
    )
    made.op(
        "DEPTHWISE_CONV_2D", inputs, [target], padding=padding,
        strideH=stride[0], strideW=stride[1], depthMultiplier=multiplier,
        dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        fusedActivationFunction=activation,
    )  # fmt: skip
    agree(interpreters, made.build([source], [target]), int8s(rng, (1, height, width, channels)))


@given(data=st.data(), rng=generators(), activation=activations)
@checked
def test_fully_connected(
    litert: Oracle, data: st.DataObject, rng: np.random.Generator, activation: int
) -> None:
    depth, units = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 40))
    rows = data.draw(st.sampled_from([1, 1, 1, 3]))
    scale, ws = data.draw(scales()), weight_scales(data, rng, units)
    made = ModelBuilder()
    shape = (1, depth) if rows == 1 else (1, rows, depth)
    source = made.tensor(shape, scale, data.draw(zero_points()))
    weights = made.tensor((units, depth), ws, data=int8s(rng, (units, depth), -127))
    inputs = [source, weights]
    with_bias = data.draw(st.booleans(), label="bias")
    if with_bias:
        values = rng.integers(-50000, 50000, units, np.int32)
        inputs.append(made.tensor((units,), scale * np.float32(ws), dtype="int32", data=values))
    target = made.tensor(
        (*shape[:-1], units), output_scale(data, scale, ws, depth), data.draw(zero_points())
    )
    made.op(
        "FULLY_CONNECTED", inputs, [target],
        fusedActivationFunction=activation, keepNumDims=rows > 1,
    )  # fmt: skip
    agree((litert,), made.build([source], [target]), int8s(rng, shape))


@given(data=st.data(), rng=generators(), activation=activations)
@checked
def test_poolings(
    interpreters: tuple[Oracle, ...], data: st.DataObject, rng: np.random.Generator, activation: int
) -> None:
    height, width, channels = (data.draw(sizes) for _ in range(3))
    window = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)))
    stride = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)))
    padding = data.draw(st.sampled_from([0, 1]))
    if padding == 1:
        height, width = max(height, window[0]), max(width, window[1])
        out = [(n - r) // s + 1 for n, r, s in zip((height, width), window, stride, strict=True)]
    else:
        out = [-(-n // s) for n, s in zip((height, width), stride, strict=True)]
    scale, zero = data.draw(scales()), data.draw(zero_points())
    made = ModelBuilder()
    source = made.tensor((1, height, width, channels), scale, zero)
    target = made.tensor((1, *out, channels), scale, zero)
    made.op(
        data.draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"])), [source], [target],
        padding=padding, strideH=stride[0], strideW=stride[1],
        filterHeight=window[0], filterWidth=window[1], fusedActivationFunction=activation,
    )  # fmt: skip
    agree(interpreters, made.build([source], [target]), int8s(rng, (1, height, width, channels)))


@given(data=st.data(), rng=generators(), keep=st.booleans())
@checked
def test_mean(
    interpreters: tuple[Oracle, ...], data: st.DataObject, rng: np.random.Generator, keep: bool
) -> None:
    shape = (1, *(data.draw(st.integers(1, 12)) for _ in range(3)))
    axes = data.draw(st.sampled_from([(1, 2), (2, 1), (-2, -3), (1,), (3,), (2, 3), (1, 2, 3)]))
    gone = {a % 4 for a in axes}
    left = [1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone]
    scale = data.draw(scales())
    same = data.draw(st.booleans(), label="same scale")
    made = ModelBuilder()
    source = made.tensor(shape, scale, data.draw(zero_points()))
    indices = made.tensor((len(axes),), dtype="int32", data=np.int32(axes))
    target = made.tensor(left, scale if same else data.draw(scales()), data.draw(zero_points()))
    made.op("MEAN", [source, indices], [target], keepDims=keep)
    agree(interpreters, made.build([source], [target]), int8s(rng, shape))


@given(data=st.data(), rng=generators(), activation=activations)
@checked
def test_add(
    interpreters: tuple[Oracle, ...], data: st.DataObject, rng: np.random.Generator, activation: int
) -> None:
    shape = (1, *(data.draw(sizes) for _ in range(data.draw(st.integers(1, 3)))))
    first, second = data.draw(scales()), data.draw(scales())
    output = data.draw(st.one_of(scales(), st.just(float32(first + second))))
    made = ModelBuilder()
    sources = [made.tensor(shape, s, data.draw(zero_points())) for s in (first, second)]
    target = made.tensor(shape, output, data.draw(zero_points()))
    made.op("ADD", sources, [target], fusedActivationFunction=activation)
    model = made.build(sources, [target])
    agree(interpreters, model, int8s(rng, shape), int8s(rng, shape))


@given(data=st.data(), rng=generators())
@checked
def test_pad(
    interpreters: tuple[Oracle, ...], data: st.DataObject, rng: np.random.Generator
) -> None:
    rank = data.draw(st.integers(2, 4))
    shape = (1, *(data.draw(sizes) for _ in range(rank - 1)))
    widths = [(0, 0)] + [
        (data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in shape[1:]
    ]
    scale, zero = data.draw(scales()), data.draw(zero_points())
    made = ModelBuilder()
    source = made.tensor(shape, scale, zero)
    paddings = made.tensor((rank, 2), dtype="int32", data=np.int32(widths))
    grown = [n + sum(width) for n, width in zip(shape, widths, strict=True)]
    target = made.tensor(grown, scale, zero)
    made.op("PAD", [source, paddings], [target])
    agree(interpreters, made.build([source], [target]), int8s(rng, shape))


@given(data=st.data(), rng=generators())
@checked
def test_softmax(
    interpreters: tuple[Oracle, ...], data: st.DataObject, rng: np.random.Generator
) -> None:
    shape = data.draw(
        st.sampled_from([(1, 1), (1, 2), (1, 10), (1, 3, 7), (1, 100), (1, 1, 2, 12)])
    )
    beta = data.draw(st.sampled_from([1.0, 1.0, 0.5, 2.0, 10.0]))
    made = ModelBuilder()
    source = made.tensor(shape, data.draw(scales(1e-6, 16.0)), data.draw(zero_points()))
    target = made.tensor(shape, 1 / 256, -128)
    made.op("SOFTMAX", [source], [target], beta=beta)
    agree(interpreters, made.build([source], [target]), int8s(rng, shape))


@given(data=st.data(), rng=generators(), source_type=st.sampled_from(["int8", "uint8"]))
@checked
def test_quantize_between_integers(
    litert: Oracle, data: st.DataObject, rng: np.random.Generator, source_type: str
) -> None:
    target_type = data.draw(st.sampled_from(["int8", "uint8"]))
    shift = {"int8": 0, "uint8": 128}
    scale = data.draw(scales())
    other = data.draw(st.one_of(st.just(scale), scales()))
    made = ModelBuilder()
    source = made.tensor(
        (1, 50), scale, data.draw(zero_points()) + shift[source_type], dtype=source_type
    )
    target = made.tensor(
        (1, 50), other, data.draw(zero_points()) + shift[target_type], dtype=target_type
    )
    made.op("QUANTIZE", [source], [target])
    values = int8s(rng, (1, 50)).astype(np.int16) + shift[source_type]
    agree((litert,), made.build([source], [target]), values.astype(source_type))


@given(data=st.data(), rng=generators(), target_type=st.sampled_from(["int8", "uint8"]))
@checked
def test_quantize_from_float(
    litert: Oracle, data: st.DataObject, rng: np.random.Generator, target_type: str
) -> None:
    scale = data.draw(scales())
    zero = data.draw(zero_points()) + (128 if target_type == "uint8" else 0)
    made = ModelBuilder()
    source = made.tensor((1, 64), dtype="float32")
    target = made.tensor((1, 64), scale, zero, dtype=target_type)
    made.op("QUANTIZE", [source], [target])
    spread = rng.standard_normal((1, 64)) * scale * 60
    ties = (rng.integers(-300, 300, (1, 64)) + 0.5) * scale
    values = np.where(rng.integers(2, size=(1, 64)), spread, ties).astype(np.float32)
    agree((litert,), made.build([source], [target]), values)


@given(data=st.data(), rng=generators(), source_type=st.sampled_from(["int8", "uint8"]))
@checked
def test_dequantize(
    interpreters: tuple[Oracle, ...],
    data: st.DataObject,
    rng: np.random.Generator,
    source_type: str,
) -> None:
    shift = 128 if source_type == "uint8" else 0
    made = ModelBuilder()
    zero = data.draw(zero_points()) + shift
    source = made.tensor((1, 256), data.draw(scales()), zero, dtype=source_type)
    target = made.tensor((1, 256), dtype="float32")
    made.op("DEQUANTIZE", [source], [target])
    every = (np.arange(256).reshape(1, 256) - 128 + shift).astype(source_type)
    agree(interpreters, made.build([source], [target]), rng.permuted(every))


@given(data=st.data())
@checked
def test_a_factor_that_rounds_onto_a_tie_in_double_precision(
    litert: Oracle, data: st.DataObject
) -> None:
    """Quotients of small numbers: acc * factor is a tie, or just misses one, for many acc."""
    source_scale = data.draw(st.integers(1, 40)) / data.draw(st.sampled_from([1, 3, 7, 10, 100]))
    weight_scale = data.draw(st.integers(1, 40)) / data.draw(st.sampled_from([1, 3, 7, 10, 100]))
    target_scale = source_scale * weight_scale * data.draw(st.integers(1, 500)) / 2
    assume(1e-6 < target_scale < 1e6)
    units = 200
    made = ModelBuilder()
    source = made.tensor((1, 1), source_scale, 0)
    weights = made.tensor((units, 1), weight_scale, data=np.zeros((units, 1), np.int8))
    start = data.draw(st.integers(-20000, 20000))
    bias = made.tensor(
        (units,),
        np.float32(source_scale) * np.float32(weight_scale),
        dtype="int32",
        data=np.arange(start, start + units, dtype=np.int32),
    )
    target = made.tensor((1, units), target_scale, 0)
    made.op("FULLY_CONNECTED", [source, weights, bias], [target])
    agree((litert,), made.build([source], [target]), np.zeros((1, 1), np.int8))


@given(data=st.data(), kind=st.sampled_from(["CONV_2D", "FULLY_CONNECTED"]))
@checked
def test_accumulators_anywhere_in_int32(litert: Oracle, data: st.DataObject, kind: str) -> None:
    """Biases up to the limits, factors from 2**-30 to 2**10: shifts of every width, saturation."""
    factor = float32(2.0 ** data.draw(st.floats(-30, 10)))
    limit = math.ceil(min(2**31, 2**30 / factor)) - 1
    units = 64
    made = ModelBuilder()
    shape = (1, 1, 1, 1) if kind == "CONV_2D" else (1, 1)
    source = made.tensor(shape, 1.0, 0)
    zeros = np.zeros((units, *shape[1:]), np.int8)
    weights = made.tensor(zeros.shape, factor, data=zeros)
    edge = min(limit, int(200 / factor) + 2)
    spread, near = st.integers(-limit, limit), st.integers(-edge, edge)
    values = data.draw(st.lists(st.one_of(spread, near), min_size=units, max_size=units))
    bias = made.tensor((units,), factor, dtype="int32", data=np.int32(values))
    target = made.tensor((*shape[:-1], units), 1.0, data.draw(zero_points()))
    options = {"padding": 1, "strideH": 1, "strideW": 1} if kind == "CONV_2D" else {}
    made.op(kind, [source, weights, bias], [target], **options)
    agree((litert,), made.build([source], [target]), np.zeros(shape, np.int8))


def test_what_is_beyond_every_format_is_refused() -> None:
    made = ModelBuilder()
    source = made.tensor((1, 1), 1e-20, 0)
    weights = made.tensor((1, 1), 1e-10, data=np.ones((1, 1), np.int8))
    target = made.tensor((1, 1), 1e3, 0)
    made.op("FULLY_CONNECTED", [source, weights], [target])
    graph = parse_model(made.build([source], [target]), "test")
    with pytest.raises(UnsupportedError, match="output factor"):
        check_op(graph, graph.ops[0])
