# SPDX-License-Identifier: Apache-2.0
"""Generated code for real models: outputs bit for bit, and how good their memory plans are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.ops import interpret
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer, device_head
from fleetgrad_codegen.verify import Verdict, device_graph, random_inputs, verify
from support.real_models import REAL_MODELS, RealModel

if TYPE_CHECKING:
    from pathlib import Path

    from support.native_model import Builder


@pytest.mark.parametrize("name", REAL_MODELS)
def test_native_code_meets_golden_outputs(
    shared_data: Path, tmp_path: Path, native: Builder, name: str
) -> None:
    real = RealModel(shared_data, name)
    model = native.load({name: generate(real.data, name)}, tmp_path)[name]
    for x, expected in real.golden():
        np.testing.assert_array_equal(real.leave(model.run(x)), expected)


@pytest.mark.parametrize("name", REAL_MODELS)
def test_native_code_equals_the_reference_on_64_random_inputs(
    shared_data: Path, tmp_path: Path, native: Builder, name: str
) -> None:
    real = RealModel(shared_data, name)
    model = native.load({name: generate(real.data, name)}, tmp_path)[name]
    graph = device_graph(real.data, name)
    verdict = verify(graph, lambda xs: [model.run(x) for x in xs], random_inputs(graph, 64, seed=4))
    assert verdict == Verdict(samples=64, mismatches=0, largest=0)


@pytest.mark.parametrize(
    "name",
    [
        "cfu_mnv2_160_035",
        "mcunet_mnist_lenet300",
        "mcunet_vww",
        "stm32_aed_yamnet256_int8",
        "tflm_keyword_scrambled_8bit",
        "tflm_mnist_lstm_int8",
    ],
)
def test_a_new_last_layer_trains_on_a_frozen_backbone(
    shared_data: Path, tmp_path: Path, native: Builder, name: str
) -> None:
    """Each sample on its own: state does not leak from one to the next, in whatever order."""
    scheme = LastLayer(classes=3, seed=1)
    loss = Loss.SOFTMAX_CROSS_ENTROPY
    bundle = generate(RealModel(shared_data, name).data, name, scheme=scheme, loss=loss, batch=2)
    model = native.load({name: bundle}, tmp_path)[name]
    adapted = bundle.files["model.tflite"]
    site, head = device_head(adapted, name, loss)
    graph = site.graph
    inputs = random_inputs(graph, 3, seed=9)
    wanted = [interpret(graph, [x])[0].reshape(-1) for x in inputs]
    for order in ((0, 1, 2), (2, 0, 1)):
        for index in order:
            status, _, predicted, _ = model.evaluate(inputs[index], 1)
            assert status == 0
            assert predicted == wanted[index].argmax()
            np.testing.assert_array_equal(model.output, wanted[index])
    before = model.params.copy()
    for row in range(2):
        assert model.accumulate(inputs[row], row, row)[0] == 0
    assert model.apply(2, 1 << 14, 0, 1) == 0
    assert (model.params != before).any()
    assert head.outputs == 3
