# SPDX-License-Identifier: Apache-2.0
"""What is told about a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.inspect import inspect_model
from fleetgrad_codegen.scheme import LastLayer
from support.heads import HEADS
from support.models import ModelBuilder, pack, small_cnn, unpack

if TYPE_CHECKING:
    from pathlib import Path


def test_a_small_model() -> None:
    found = inspect_model(small_cnn(np.random.default_rng(0), classes=4), "small")
    assert found.problem is None
    assert [op.op for op in found.ops if op.trainable] == ["FULLY_CONNECTED"]
    assert all(op.runs for op in found.ops)
    assert found.macs == 8 * 8 * 4 * 9 + 64 * 4
    assert found.params == 4 * 9 + 4 + 2 + 4 * 64 + 4
    assert found.weights_bytes == 36 + 16 + 8 + 256 + 16
    (source,) = found.inputs
    assert (source.shape, source.dtype, source.zero_point) == ((1, 8, 8, 1), "int8", -3)
    assert found.ops[0].inputs == ((1, 8, 8, 1),)
    assert found.ops[0].outputs == ((1, 8, 8, 4),)


@pytest.mark.parametrize("name", HEADS)
def test_a_layer_is_trainable_where_the_scheme_can_train_it(name: str) -> None:
    make, loss = HEADS[name]
    model = make(np.random.default_rng(0))
    generate(model, name, scheme=LastLayer(), loss=loss)
    assert any(op.trainable for op in inspect_model(model, name).ops)


def test_a_last_layer_without_bias_is_not_trainable() -> None:
    model = unpack(small_cnn(np.random.default_rng(0)))
    head = model.subgraphs[0].operators[3]
    head.inputs = list(head.inputs)[:2]
    found = inspect_model(pack(model), "small")
    assert all(op.runs and not op.trainable for op in found.ops)


@pytest.mark.parametrize(
    ("name", "macs", "params", "weights_bytes"),
    [
        ("mlperf_kws_ref_model", 2656768, 22606, 24376),
        ("mlperf_ic_pretrainedResnet_quant", 12501632, 77708, 78752),
        ("mlperf_ad01_int8", 264192, 265864, 270880),
        ("tflm_person_detect", 7157888, 210708, 218928),
    ],
)
def test_sizes_of_real_models(
    shared_data: Path, name: str, macs: int, params: int, weights_bytes: int
) -> None:
    found = inspect_model((shared_data / "models" / f"{name}.tflite").read_bytes(), name)
    assert (found.macs, found.params, found.weights_bytes) == (macs, params, weights_bytes)


def test_an_unknown_operator_is_shown_as_not_running() -> None:
    made = ModelBuilder()
    made.tensor((1, 4), 0.1)
    made.tensor((1, 4), 0.1)
    made.op("ELU", (0,), (1,))
    found = inspect_model(made.build([0], [1]), "m")
    assert found.problem is not None
    (elu,) = found.ops
    assert (elu.op, elu.runs, elu.trainable) == ("ELU", False, False)
    assert "not supported" in elu.problem


@pytest.mark.parametrize(
    ("name", "kind", "count", "macs"),
    [
        ("tflm_keyword_scrambled_8bit", "SVDF", 7, 16_896),
        ("tflm_mnist_lstm_int8", "UNIDIRECTIONAL_SEQUENCE_LSTM", 1, 28 * 4 * 20 * (28 + 20)),
    ],
)
def test_operators_with_state_run_and_have_a_cost(
    shared_data: Path, name: str, kind: str, count: int, macs: int
) -> None:
    found = inspect_model((shared_data / "models" / f"{name}.tflite").read_bytes(), name)
    assert found.problem is None
    assert [op.op for op in found.ops if op.trainable] == ["FULLY_CONNECTED"]
    stateful = [op for op in found.ops if op.op == kind]
    assert len(stateful) == count
    assert sum(op.macs for op in stateful) == macs


def test_a_float_model_is_refused(shared_data: Path) -> None:
    data = (shared_data / "models" / "tflm_hello_world_float.tflite").read_bytes()
    with pytest.raises(UnsupportedError, match="float model"):
        inspect_model(data, "hello")
