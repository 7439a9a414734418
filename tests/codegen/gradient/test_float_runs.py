# SPDX-License-Identifier: Apache-2.0
"""Trainings side by side end where each one ends that trains alone."""

from __future__ import annotations

import numpy as np
import pytest

from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, Full, Sparse, deep_training
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan
from support.deep_models import DEEP
from support.heads import autoencoder, pooled_convolution

MODELS = {**DEEP, "pooled-convolution": pooled_convolution}
SAMPLES = 5
PLANS = tuple(
    LocalPlan(rate=LearningRate.of(rate), seed=seed, round_number=2)
    for rate, seed in ((0.001, 1), (0.004, 1), (0.002, 7))
)


@pytest.mark.parametrize(
    "scheme", [Full(), Bias(), Sparse(ratio=0.5)], ids=["full", "bias", "sparse"]
)
@pytest.mark.parametrize("name", MODELS)
def test_each_run_ends_where_it_would_alone(name: str, scheme: Full | Bias | Sparse) -> None:
    model = scheme.adapt(MODELS[name](np.random.default_rng(3)), name)
    _, graph, _ = split_boundary(read_model(model, name))
    training = deep_training(scheme, model, name, Loss.SOFTMAX_CROSS_ENTROPY)
    dice = np.random.default_rng(4)
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    samples = dice.integers(-128, 128, (SAMPLES, *shape)).astype(np.int8)
    network = training.float_network
    first = network.initial()
    targets = dice.integers(0, network.outputs(first, samples[:1]).size, SAMPLES)
    together = training.float_runs.train(
        [first] * len(PLANS), samples, targets, plans=PLANS, device_id=9
    )
    moved = 0.0
    for plan, found in zip(PLANS, together, strict=True):
        alone = network.train(first, samples, targets, plan=plan, device_id=9)
        assert found.keys() == alone.keys()
        for position, layer in alone.items():
            for one, other, start in (
                (found[position].weights, layer.weights, first[position].weights),
                (found[position].bias, layer.bias, first[position].bias),
            ):
                assert one.shape == other.shape
                assert one.dtype == np.float32
                way = float(np.abs(other - start).max())
                moved = max(moved, way)
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 + 2e-3 * way)
    assert moved > 1e-4


def test_another_loss_is_refused() -> None:
    model = Full().adapt(autoencoder(np.random.default_rng(3)), "autoencoder")
    training = deep_training(Full(), model, "autoencoder", Loss.SQUARED_ERROR)
    with pytest.raises(SchemeError, match="another loss"):
        _ = training.float_runs
