# SPDX-License-Identifier: Apache-2.0
"""Operators with state, over sequences that one interpreter sees in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given

from fleetgrad_codegen.errors import CodegenError, UnsupportedError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import carried, gate_functions, interpret, run_ops
from fleetgrad_codegen.ops.fixed_point import quantize_multiplier, scale_twice
from fleetgrad_codegen.ops.fully_connected import FullyConnected
from fleetgrad_codegen.verify import reference_outputs
from support.agreement import checked
from support.models import pack, unpack
from support.stateful_ops import lstm, svdf
from support.strategies import generators, int8s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fleetgrad_codegen.ir import Graph, Op
    from support.oracle import Oracle

RUNS = 12


def agree_over_time(oracle: Oracle, model: bytes, rng: np.random.Generator) -> None:
    graph = read_model(model, "m")
    inputs = [int8s(rng, graph.tensors[graph.inputs[0]].shape) for _ in range(RUNS)]
    theirs = oracle.run_sequence(model, [[x] for x in inputs])
    for ours, (expected,) in zip(reference_outputs(graph, inputs), theirs, strict=True):
        np.testing.assert_array_equal(ours, expected)


@given(rng=generators())
@checked
def test_svdf_of_16_bits_agrees_with_litert(litert: Oracle, rng: np.random.Generator) -> None:
    model = unpack(svdf(rng, "int16"))
    model.subgraphs[0].operators[0].builtinOptions.fusedActivationFunction = 1  # it wants RELU
    agree_over_time(litert, pack(model), rng)


@given(rng=generators())
@checked
def test_svdf_of_16_bits_agrees_with_tflm(tflm: Oracle, rng: np.random.Generator) -> None:
    agree_over_time(tflm, svdf(rng, "int16"), rng)


@given(rng=generators())
@checked
def test_svdf_of_8_bits_agrees_with_tflm(tflm: Oracle, rng: np.random.Generator) -> None:
    """With the state's zero point at 0: others make older versions of TFLM wrap, not saturate."""
    model = unpack(svdf(rng, "int8"))
    model.subgraphs[0].tensors[4].quantization.zeroPoint = [0]
    agree_over_time(tflm, pack(model), rng)


@given(rng=generators())
@checked
def test_svdf_of_8_bits_agrees_with_tflm_where_its_state_does_not_saturate(
    tflm: Oracle, rng: np.random.Generator
) -> None:
    model = unpack(svdf(rng, "int8"))
    tensors = model.subgraphs[0].tensors
    filters, inputs = tensors[1].shape
    most = tensors[0].quantization.scale[0] * tensors[1].quantization.scale[0] * 255 * 127 * inputs
    zero = int(tensors[4].quantization.zeroPoint[0])
    room = 127 - abs(zero) if abs(zero) < 120 else 60
    tensors[4].quantization.zeroPoint = [zero if abs(zero) < 120 else 67]
    tensors[4].quantization.scale = [float(np.float32(most / room))]
    tensors[3].quantization.scale = [
        float(np.float32(most / room) * np.float32(tensors[2].quantization.scale[0]))
    ]
    tensors[5].quantization.scale = [float(np.float32(most / room * np.sqrt(filters) / 20))]
    agree_over_time(tflm, pack(model), rng)


@given(rng=generators())
@checked
def test_lstm_agrees_with_litert(litert: Oracle, rng: np.random.Generator) -> None:
    agree_over_time(litert, lstm(rng), rng)


def test_the_first_run_starts_from_real_zeros_and_the_next_where_it_ended() -> None:
    rng = np.random.default_rng(0)
    graph = read_model(lstm(rng), "m")
    x = int8s(rng, graph.tensors[graph.inputs[0]].shape)
    known = run_ops(graph, graph.ops, {graph.inputs[0]: x})
    state = carried(graph, known)
    assert [graph.tensors[index].dtype for index in state] == ["int8", "int16"]
    again = run_ops(graph, graph.ops, {**state, graph.inputs[0]: x})[graph.outputs[0]]
    first, second = reference_outputs(graph, [x, x])
    np.testing.assert_array_equal(first, interpret(graph, [x])[0])
    np.testing.assert_array_equal(second, again)
    assert (first != second).any()


def test_gates_stay_near_the_real_functions() -> None:
    every = np.arange(-(2**15), 2**15)
    real = 1 / (1 + np.exp(-every / 2**12))
    assert np.abs(gate_functions.logistic(every) / 2**15 - real).max() < 2e-4
    for bits in range(7):
        real = np.tanh(every * 2.0 ** (bits - 15))
        assert np.abs(gate_functions.tanh(every, bits) / 2**15 - real).max() < 4e-4


def test_the_keyword_benchmark_agrees_with_tflm_but_for_its_fully_connected_layers(
    shared_data: Path, tflm: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """int16 in, int32 out, seven SVDFs; LiteRT cannot run it."""
    data = (shared_data / "models" / "tflm_keyword_scrambled_8bit.tflite").read_bytes()
    graph = read_model(data, "keywords")
    monkeypatch.setattr(FullyConnected, "reference", _fully_connected_as_in_tflm)
    rng = np.random.default_rng(6)
    shape = graph.tensors[graph.inputs[0]].shape
    inputs = [
        (rng.uniform(-1, 1, shape) * rng.choice([300, 3000, 32767])).astype(np.int16)
        for _ in range(60)
    ]
    theirs = tflm.run_sequence(data, [[x] for x in inputs])
    for ours, (expected,) in zip(reference_outputs(graph, inputs), theirs, strict=True):
        np.testing.assert_array_equal(ours, expected)


def _fully_connected_as_in_tflm(
    self: FullyConnected, graph: Graph, op: Op, inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    del self
    source, weights, output = (
        graph.tensors[index] for index in (op.inputs[0], op.inputs[1], op.outputs[0])
    )
    product = np.float32(source.quantization.scale[0]) * np.float32(weights.quantization.scale[0])
    factor = quantize_multiplier(float(product) / output.quantization.scale[0])
    centred = inputs[0].reshape(-1).astype(np.int64) - source.quantization.zero_point[0]
    acc = inputs[1].astype(np.int64) @ centred + inputs[2]
    made = scale_twice(acc, factor.value, factor.shift) + output.quantization.zero_point[0]
    return [np.clip(made, -128, 127).astype(np.int8).reshape(output.shape)]


def changed(model: bytes, change: Callable[[Any], None]) -> bytes:
    made = unpack(model)
    change(made.subgraphs[0])
    return pack(made)


def no_variable(graph: Any) -> None:
    graph.tensors[4].isVariable = False


def state_of_another_size(graph: Any) -> None:
    graph.tensors[4].shape = [1, 3]


def rank_that_does_not_divide(graph: Any) -> None:
    graph.operators[0].builtinOptions.rank = 1000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_variable, "variable"),
        (state_of_another_size, "3 values"),
        (rank_that_does_not_divide, "rank 1000"),
    ],
)
def test_svdf_that_contradicts_itself_is_refused(change: Callable[[Any], None], said: str) -> None:
    with pytest.raises(CodegenError, match=said):
        read_model(changed(svdf(np.random.default_rng(1), "int8"), change), "m")


def peephole(graph: Any) -> None:
    inputs = list(graph.operators[0].inputs)
    inputs[9] = inputs[13]
    graph.operators[0].inputs = inputs


def cell_scale(graph: Any) -> None:
    graph.tensors[graph.operators[0].inputs[19]].quantization.scale = [0.001]


def other_hidden_scale(graph: Any) -> None:
    graph.tensors[graph.operators[0].intermediates[4]].quantization.scale = [0.5]


def relu(graph: Any) -> None:
    graph.operators[0].builtinOptions.fusedActivationFunction = 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (peephole, "peepholes"),
        (cell_scale, "a power of two"),
        (other_hidden_scale, "quantised differently"),
        (relu, "TANH"),
    ],
)
def test_lstms_beyond_the_plain_one_are_refused(change: Callable[[Any], None], said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        read_model(changed(lstm(np.random.default_rng(1)), change), "m")
