# SPDX-License-Identifier: Apache-2.0
"""Elementwise operators, tables, operators that move values, and the host's own, likewise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgrad_codegen.errors import CodegenError, UnsupportedError
from fleetgrad_codegen.frontend.tflite import parse_model, read_model
from fleetgrad_codegen.ops import check_op, interpret
from support.agreement import agree, checked
from support.models import ModelBuilder
from support.oracle import Oracle
from support.single_ops import broadcast_pair
from support.strategies import float32, generators, int8s, scales, zero_points

activations = st.sampled_from([0, 1, 2, 3])
sizes = st.integers(1, 9)


@given(
    data=st.data(),
    rng=generators(),
    activation=activations,
    kind=st.sampled_from(["ADD", "SUB", "MUL"]),
)
@checked
def test_arithmetic(
    interpreters: tuple[Oracle, ...],
    data: st.DataObject,
    rng: np.random.Generator,
    activation: int,
    kind: str,
) -> None:
    constant = data.draw(st.booleans(), label="constant")
    shape = (1, *(data.draw(sizes) for _ in range(data.draw(st.integers(1, 3)))))
    shapes = broadcast_pair(rng, shape)
    if data.draw(st.booleans(), label="swapped"):
        shapes = shapes[::-1]
    scale = [data.draw(scales(1e-3)), data.draw(scales(1e-3))]
    typical = scale[0] * scale[1] * 60 if kind == "MUL" else scale[0] + scale[1]
    output = data.draw(st.one_of(scales(1e-2), st.just(float32(typical))))
    made = ModelBuilder()
    given_ = [int8s(rng, one) for one in shapes]
    zeros = [data.draw(zero_points()) for _ in shapes]
    held = (not shapes[0] or len(shapes[0]) < len(shape)) if constant else -1
    sources = [
        made.tensor(one, s, z, data=x if place == held else None)
        for place, (one, s, z, x) in enumerate(zip(shapes, scale, zeros, given_, strict=True))
    ]
    target = made.tensor(np.broadcast_shapes(*shapes), output, data.draw(zero_points()))
    made.op(kind, sources, [target], fusedActivationFunction=activation)
    fed = [place for place in (0, 1) if place != held]
    model = made.build([sources[place] for place in fed], [target])
    agree(interpreters, model, *(given_[place] for place in fed))


@given(data=st.data(), rng=generators())
@checked
def test_products_of_any_scale(
    litert: Oracle, data: st.DataObject, rng: np.random.Generator
) -> None:
    made = ModelBuilder()
    zero = data.draw(zero_points())
    sources = [made.tensor((1, 64), data.draw(scales(1e-6, 100.0)), zero) for _ in (0, 1)]
    target = made.tensor((1, 64), data.draw(scales(1e-2, 100.0)), data.draw(zero_points()))
    made.op("MUL", sources, [target])
    model = made.build(sources, [target])
    graph = parse_model(model, "m")
    try:
        check_op(graph, graph.ops[0])
    except UnsupportedError:
        return
    agree((litert,), model, int8s(rng, (1, 64)), int8s(rng, (1, 64)))


@given(data=st.data(), rng=generators())
@checked
def test_transpose(
    interpreters: tuple[Oracle, ...], data: st.DataObject, rng: np.random.Generator
) -> None:
    rank = data.draw(st.integers(1, 5))
    shape = tuple(data.draw(st.integers(1, 5)) for _ in range(rank))
    order = data.draw(st.permutations(range(rank)))
    scale, zero = data.draw(scales()), data.draw(zero_points())
    made = ModelBuilder()
    source = made.tensor(shape, scale, zero)
    permutation = made.tensor((rank,), dtype="int32", data=np.int32(order))
    target = made.tensor([shape[i] for i in order], scale, zero)
    made.op("TRANSPOSE", [source, permutation], [target])
    model = made.build([source], [target])
    graph = parse_model(model, "m")
    try:
        check_op(graph, graph.ops[0])
    except UnsupportedError:  # only ever because of all five
        assert rank == 5
        return
    agree(interpreters, model, int8s(rng, shape))


@given(data=st.data())
@checked
def test_logistic(litert: Oracle, data: st.DataObject) -> None:
    made = ModelBuilder()
    source = made.tensor((1, 256), data.draw(scales(1e-4, 100.0)), data.draw(zero_points()))
    target = made.tensor((1, 256), 1 / 256, data.draw(zero_points()))
    made.op("LOGISTIC", [source], [target])
    every = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    agree((litert,), made.build([source], [target]), every)


@given(data=st.data())
@checked
def test_tanh(litert: Oracle, data: st.DataObject) -> None:
    made = ModelBuilder()
    source = made.tensor((1, 256), data.draw(scales(1e-4, 100.0)), data.draw(zero_points()))
    target = made.tensor((1, 256), data.draw(scales(1e-3)), data.draw(zero_points()))
    made.op("TANH", [source], [target])
    every = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    agree((litert,), made.build([source], [target]), every)


@given(data=st.data(), rng=generators(), count=st.integers(1, 4))
@checked
def test_concatenation(
    interpreters: tuple[Oracle, ...], data: st.DataObject, rng: np.random.Generator, count: int
) -> None:
    rank = data.draw(st.integers(1, 4))
    shape = [data.draw(st.integers(1, 5)) for _ in range(rank)]
    axis = data.draw(st.integers(0, rank - 1))
    widths = [data.draw(sizes) for _ in range(count)]
    shapes = [(*shape[:axis], width, *shape[axis + 1 :]) for width in widths]
    scale, zero = data.draw(scales()), data.draw(zero_points())
    made = ModelBuilder()
    sources = [made.tensor(one, scale, zero) for one in shapes]
    target = made.tensor((*shape[:axis], sum(widths), *shape[axis + 1 :]), scale, zero)
    made.op("CONCATENATION", sources, [target], axis=axis - data.draw(st.sampled_from([0, rank])))
    agree(interpreters, made.build(sources, [target]), *(int8s(rng, one) for one in shapes))


@given(
    rng=generators(),
    before=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    after=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    mode=st.sampled_from([(False, False), (True, False), (False, True), (True, True)]),
)
@checked
def test_resize_nearest_neighbor(
    litert: Oracle,
    rng: np.random.Generator,
    before: tuple[int, int],
    after: tuple[int, int],
    mode: tuple[bool, bool],
) -> None:
    made = ModelBuilder()
    source = made.tensor((1, *before, 2), 0.1, 3)
    size = made.tensor((2,), dtype="int32", data=np.int32(after))
    target = made.tensor((1, *after, 2), 0.1, 3)
    made.op(
        "RESIZE_NEAREST_NEIGHBOR", [source, size], [target],
        alignCorners=mode[0], halfPixelCenters=mode[1],
    )  # fmt: skip
    agree((litert,), made.build([source], [target]), int8s(rng, (1, *before, 2)))


@given(data=st.data(), rng=generators(), target_type=st.sampled_from(["int8", "int32"]))
@checked
def test_quantize_from_int16(
    interpreters: tuple[Oracle, ...],
    data: st.DataObject,
    rng: np.random.Generator,
    target_type: str,
) -> None:
    scale = data.draw(scales(1e-4))
    other = float32(scale * data.draw(st.floats(2.0**-13, 300.0)))
    made = ModelBuilder()
    source = made.tensor((1, 64), scale, 0, dtype="int16")
    zero = data.draw(zero_points()) if target_type == "int8" else 0
    target = made.tensor((1, 64), other, zero, dtype=target_type)
    made.op("QUANTIZE", [source], [target])
    values = rng.integers(-(2**15), 2**15, (1, 64)).astype(np.int16)
    agree(interpreters, made.build([source], [target]), values)


@given(data=st.data(), rng=generators(), scale=st.sampled_from([1 / 65536, 1 / 65535]))
@checked
def test_softmax_to_int16(
    tflm: Oracle, data: st.DataObject, rng: np.random.Generator, scale: float
) -> None:
    shape = data.draw(st.sampled_from([(1, 1), (1, 2), (1, 10), (1, 100)]))
    made = ModelBuilder()
    source = made.tensor(shape, data.draw(scales(1e-4, 4.0)), data.draw(zero_points()))
    target = made.tensor(shape, scale, -(2**15), dtype="int16")
    made.op("SOFTMAX", [source], [target], beta=1.0)
    agree((tflm,), made.build([source], [target]), int8s(rng, shape))


@given(rng=generators(), spread=st.floats(1e-3, 50.0), classes=st.integers(1, 40))
@checked
def test_log_softmax_behind_a_dequantize(
    litert: Oracle, rng: np.random.Generator, spread: float, classes: int
) -> None:
    made = ModelBuilder()
    source = made.tensor((1, classes), float32(spread / 64), 5)
    logits = made.tensor((1, classes), float32(spread / 64), 5)
    real = made.tensor((1, classes), dtype="float32")
    target = made.tensor((1, classes), dtype="float32")
    made.op("ADD", [source, source], [logits])  # something for the device to do
    made.op("DEQUANTIZE", [logits], [real])
    made.op("LOG_SOFTMAX", [real], [target])
    model, x = made.build([source], [target]), int8s(rng, (1, classes))
    graph = read_model(model, "m")
    # Float functions of C libraries differ in their last bit.
    np.testing.assert_allclose(
        interpret(graph, [x])[0], litert.run(model, [x])[0], rtol=2e-7, atol=5e-7
    )


def refused(made: ModelBuilder, inputs: list[int], outputs: list[int], said: str) -> None:
    with pytest.raises(CodegenError) as caught:
        read_model(made.build(inputs, outputs), "m")
    assert said in str(caught.value)


def test_shapes_that_do_not_fit_each_other_are_refused() -> None:
    made = ModelBuilder()
    inputs = [made.tensor((1, 4), 0.1), made.tensor((1, 3), 0.1)]
    made.op("ADD", inputs, [made.tensor((1, 4), 0.1)])
    refused(made, inputs, [2], "(1, 4) and (1, 3)")


def test_inputs_that_repeat_by_turns_too_often_are_refused() -> None:
    made = ModelBuilder()
    inputs = [made.tensor((1, 2, 1, 2, 1), 0.1), made.tensor((1, 1, 2, 1, 2), 0.1)]
    made.op("MUL", inputs, [made.tensor((1, 2, 2, 2, 2), 0.1)])
    refused(made, inputs, [2], "alternate 4 times")


def test_a_permutation_with_a_dimension_twice_is_refused() -> None:
    made = ModelBuilder()
    source = made.tensor((1, 2, 2), 0.1)
    order = made.tensor((3,), dtype="int32", data=np.int32([0, 1, 1]))
    made.op("TRANSPOSE", [source, order], [made.tensor((1, 2, 2), 0.1)])
    refused(made, [source], [2], "each of 0 to 2 exactly once")


def test_tensors_of_other_scales_are_not_concatenated() -> None:
    made = ModelBuilder()
    inputs = [made.tensor((1, 2), 0.1), made.tensor((1, 2), 0.2)]
    made.op("CONCATENATION", inputs, [made.tensor((1, 4), 0.1)], axis=1)
    refused(made, inputs, [2], "quantised differently")


def test_an_axis_beyond_the_shape_is_refused() -> None:
    made = ModelBuilder()
    inputs = [made.tensor((1, 2), 0.1)]
    made.op("CONCATENATION", inputs, [made.tensor((1, 2), 0.1)], axis=2)
    refused(made, inputs, [1], "axis 2")


def test_an_output_scale_that_logistic_never_has_is_refused() -> None:
    made = ModelBuilder()
    made.op("LOGISTIC", [made.tensor((1, 2), 0.1)], [made.tensor((1, 2), 0.1)])
    refused(made, [0], [1], "1/256")


def test_log_softmax_of_integers_is_refused() -> None:
    made = ModelBuilder()
    made.op("LOG_SOFTMAX", [made.tensor((1, 2), 0.1)], [made.tensor((1, 2), 1 / 16, 127)])
    refused(made, [0], [1], "behind the last DEQUANTIZE")
