# SPDX-License-Identifier: Apache-2.0
"""The float32 yardstick: its forward pass, its gradients, its federation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import interpret
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import device_head
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.float_forward import dequantised, float_forward
from fleetgrad_codegen.training.float_reference import (
    DeviceData,
    FloatHead,
    federated_average,
    head_features,
    train_locally,
)
from fleetgrad_codegen.training.local import LocalPlan
from support.heads import HEADS
from support.single_ops import SINGLE_OPS
from support.stateful_ops import lstm, svdf

CE = Loss.SOFTMAX_CROSS_ENTROPY
REAL = ("mlperf_ic_pretrainedResnet_quant", "mlperf_ad01_int8")


CALM = {  # whose state never saturates, as it cannot in float
    **SINGLE_OPS,
    "lstm": lambda dice: lstm(dice, calm=True),
    "svdf8": lambda dice: svdf(dice, "int8", headroom=16),
    "svdf16": lambda dice: svdf(dice, "int16", headroom=16),
}
MOST = {"quantize": 2.5, "lstm": 8.0, "svdf8": 8.0}  # roundings that later ones magnify


@pytest.mark.parametrize("kind", CALM)
def test_one_operator_in_float_is_the_integer_one_to_a_rounding(kind: str) -> None:
    dice = np.random.default_rng(3)
    graph = read_model(CALM[kind](dice), kind)
    _, graph, _ = split_boundary(graph)
    if len(graph.inputs) > 1:
        pytest.skip("the float forward pass takes models with one input")
    tensor, output = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    x = dice.integers(-128, 128, (4, *tensor.shape[1:]), np.int8)
    real = float_forward(graph, x)
    scale, zero = output.quantization.scale[0], output.quantization.zero_point[0]
    most = MOST.get(kind, 1.01)
    for sample, values in zip(x, real, strict=True):
        quantised = np.clip(values / scale + zero, -128, 127)
        (made,) = interpret(graph, [sample[None]])
        assert np.abs(quantised - made[0].reshape(values.shape)).max() <= most


@pytest.mark.parametrize("name", REAL)
def test_real_models_in_float_stay_near_the_integer_ones(name: str, shared_data: Path) -> None:
    data = (shared_data / "models" / f"{name}.tflite").read_bytes()
    _, graph, _ = split_boundary(read_model(data, name))
    tensor = graph.tensors[graph.inputs[0]]
    golden = np.load(shared_data / "models" / "golden" / f"{name}.npz", allow_pickle=False)
    x = golden["x"].reshape(-1, *tensor.shape[1:])
    real = float_forward(graph, x)
    output = graph.tensors[graph.outputs[0]]
    for sample, values in zip(x, real, strict=True):
        made = dequantised(output, interpret(graph, [sample[None]])[0])[0]
        assert np.corrcoef(made.reshape(-1), values.reshape(-1))[0, 1] > 0.95


def test_a_keyword_model_in_float_hears_the_same_words(shared_data: Path) -> None:
    data = (shared_data / "models" / "mlperf_kws_ref_model.tflite").read_bytes()
    graph = read_model(data, "kws")
    features = shared_data / "datasets" / "speech_commands_3words_mfcc.npz"
    x = np.load(features, allow_pickle=False)["x_int8"][::80][..., None]
    real = float_forward(graph, x).argmax(axis=1)
    made = [int(interpret(graph, [sample[None]])[0].argmax()) for sample in x]
    assert (real == made).mean() >= 0.98


@pytest.mark.parametrize("name", HEADS)
def test_a_step_follows_the_numerical_gradient(name: str) -> None:
    make, loss = HEADS[name]
    site, constants = device_head(make(np.random.default_rng(3)), name, loss)
    head = FloatHead.of(site, loss)
    dice = np.random.default_rng(4)
    x = dice.integers(-128, 128, (2, *site.source.shape[1:]), np.int8)
    features = head_features(replace_graph(site), x)
    targets = dice.integers(0, max(constants.classes, 1), 2)
    if constants.target_bytes:
        seen, _ = head.outputs(features)
        targets = dice.random(size=seen.shape).astype(np.float32)

    def value(moved: FloatHead) -> float:
        seen, _ = moved.outputs(features.astype(np.float64))
        chance = 1 / (1 + np.exp(-seen))
        if loss is Loss.BINARY_CROSS_ENTROPY:
            wanted = targets.reshape(seen.shape)
            return float(-(wanted * np.log(chance) + (1 - wanted) * np.log(1 - chance)).mean())
        if loss is Loss.SQUARED_ERROR:
            return float((((chance if site.logistic else seen) - targets) ** 2).mean())
        logits = moved.beta * seen[:, 0]
        top = logits.max(axis=1, keepdims=True)
        norm = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        return float((norm - logits[np.arange(2), targets]).mean())

    exact = replace(
        head, weights=head.weights.astype(np.float64), bias=head.bias.astype(np.float64)
    )
    stepped = head.step(features, targets, 1.0)
    for place in [(0, 0), (1 % site.outputs, 2), (2 % site.outputs, 1)]:
        ends = []
        for sign in (1, -1):
            weights = exact.weights.copy()
            weights[place] += sign * 1e-6
            ends.append(value(replace(exact, weights=weights)))
        slope = (ends[0] - ends[1]) / 2e-6
        assert head.weights[place] - stepped.weights[place] == pytest.approx(
            slope, rel=2e-3, abs=2e-4
        )


def replace_graph(site):
    """A site whose features are its own inputs: the layers before it are left out."""
    graph = replace(site.graph, inputs=(site.op.inputs[0],), ops=site.graph.ops[site.position :])
    return replace(site, graph=graph, position=0)


def _fleet(head: FloatHead, sizes: list[int]) -> list[DeviceData]:
    dice = np.random.default_rng(8)
    outputs, inputs = head.weights.shape
    fleet = []
    for device, size in enumerate(sizes):
        x = dice.normal(size=(size + 20, 1, inputs)).astype(np.float32)
        y = x[:, 0, :outputs].argmax(axis=1)
        fleet.append(DeviceData(device, x[:size], y[:size], x[size:], y[size:]))
    return fleet


def _plain_head() -> FloatHead:
    zeros = np.zeros((3, 6), np.float32)
    return FloatHead(zeros, np.zeros(3, np.float32), 1, False, False, 1.0, CE)


def test_a_fleet_of_one_is_local_training() -> None:
    head = _plain_head()
    (device,) = _fleet(head, [30])
    plan = LocalPlan(LearningRate.of(0.1), epochs=2, batch=4, seed=5)
    federated, history = federated_average(head, [device], plan=plan, rounds=1)
    alone = train_locally(
        head, device.features, device.targets, plan=plan, device_id=device.device_id
    )
    np.testing.assert_allclose(federated.weights, alone.weights, rtol=1e-6, atol=1e-7)
    assert len(history) == 2


def test_a_fleet_learns_and_weighs_devices_by_their_samples() -> None:
    head = _plain_head()
    fleet = _fleet(head, [10, 40, 150])
    plan = LocalPlan(LearningRate.of(0.2), epochs=1, seed=5)
    _, history = federated_average(head, fleet, plan=plan, rounds=8)
    assert history[-1].accuracy > max(0.8, history[0].accuracy)
    assert set(history[-1].per_device) == {0, 1, 2}

    one, _ = federated_average(head, fleet, plan=plan, rounds=1)
    locals_ = [
        train_locally(head, d.features, d.targets, plan=plan, device_id=d.device_id) for d in fleet
    ]
    mean = sum(len(d.features) * t.weights for d, t in zip(fleet, locals_, strict=True)) / 200
    np.testing.assert_allclose(one.weights, mean, rtol=1e-5, atol=1e-6)
