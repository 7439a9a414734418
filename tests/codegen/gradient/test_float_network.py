# SPDX-License-Identifier: Apache-2.0
"""The real gradients are right: finite differences of the loss know nothing of any rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.gradient.float_network import FloatNetwork, FloatState
from fleetgrad_codegen.gradient.tape import weighted_rule
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Full, Lora, deep_training
from support.deep_models import DEEP
from support.heads import autoencoder, gate, gates, pooled_convolution

CE, SE, BCE = Loss.SOFTMAX_CROSS_ENTROPY, Loss.SQUARED_ERROR, Loss.BINARY_CROSS_ENTROPY
MODELS = {name: (make, CE) for name, make in DEEP.items()}
MODELS |= {"pooled-convolution": (pooled_convolution, CE), "autoencoder": (autoencoder, SE)}
MODELS |= {"gate": (gate, BCE), "gates": (gates, BCE), "gates-squared": (gates, SE)}
STEP = 2e-3


def _loss(
    network: FloatNetwork, state: FloatState, x: np.ndarray, target: np.ndarray, *, kind: str
) -> float:
    seen = network.outputs(state, x[None])[0].astype(np.float64)
    chance = 1 / (1 + np.exp(-seen))
    if kind in {"gate", "gates", "gates-squared"}:
        if kind == "gates-squared":
            return float(((chance - target) ** 2).mean())
        return float(-(target * np.log(chance) + (1 - target) * np.log(1 - chance)).mean())
    if np.ndim(target):
        return float(((seen - target) ** 2).mean())
    return float(np.log(np.exp(seen - seen.max()).sum()) + seen.max() - seen[int(target)])


@pytest.mark.parametrize("name", MODELS)
def test_gradients_agree_with_differences(name: str) -> None:
    make, loss = MODELS[name]
    model = Full().adapt(make(np.random.default_rng(3)), name)
    _, graph, _ = split_boundary(read_model(model, name))
    network = deep_training(Full(), model, name, loss).float_network
    state = network.initial()
    dice = np.random.default_rng(4)
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    x = dice.integers(-128, 128, shape).astype(np.int8)
    output = graph.tensors[graph.outputs[0]]
    target: np.ndarray = network.outputs(state, x[None])[0].argmin()  # a mistake: it has a slope
    if name == "gate":
        target = np.int64(network.outputs(state, x[None])[0, 0] < 0)
    real = target
    if name != "gate" and loss in {SE, BCE}:
        target = dice.integers(-128, 128, output.shape[1:]).astype(np.int8)
        found = output.quantization
        real = (target.astype(np.int64) - found.zero_point[0]) * np.float64(found.scale[0])
    gradients = network.gradients(state, x, target)
    agree = []
    for position, layer in state.items():
        rule = weighted_rule(graph, position)
        for _ in range(6):
            channel = int(dice.integers(len(layer.bias)))
            rows = rule.by_channel(layer.weights)
            tap = int(dice.integers(rows.shape[1]))
            ends = []
            for sign in (1, -1):
                moved = rows.copy()
                moved[channel, tap] += sign * STEP
                weights = rule.own_layout(moved, layer.weights.shape)
                other = {**state, position: replace(layer, weights=weights)}
                ends.append(_loss(network, other, x, real, kind=name))
            agree.append((gradients[position][0][channel, tap], (ends[0] - ends[1]) / STEP / 2))
    computed, measured = np.array(agree).T
    size = np.abs(measured).max()
    assert size > 1e-4
    # Clamps and maxima that change within a step leave a few differences off.
    off = np.abs(computed - measured) > 0.03 * size
    assert off.mean() < 0.1, np.array(agree)[off]


@pytest.mark.parametrize("name", ["separable", "autoencoder"])
def test_steps_of_adapters_follow_differences(name: str) -> None:
    make, loss = MODELS[name]
    scheme = Lora(rank=2)
    model = scheme.adapt(make(np.random.default_rng(3)), name)
    training = deep_training(scheme, model, name, loss)
    network, graph = training.float_network, training.graph
    dice = np.random.default_rng(5)
    x = dice.integers(-128, 128, graph.tensors[graph.inputs[0]].shape[1:]).astype(np.int8)
    output = graph.tensors[graph.outputs[0]]
    state = dict(network.initial())
    for position, layer in state.items():
        if layer.adapter is not None:  # away from the start, where `up` is zero
            up = (dice.normal(size=layer.adapter.up.shape) * 0.01).astype(np.float32)
            moved = replace(layer.adapter, up=up)
            state[position] = moved.layer(layer.weights.shape, layer.bias)
    target: np.ndarray = network.outputs(state, x[None])[0].argmin()
    real = target
    if loss is SE:
        target = dice.integers(-128, 128, output.shape[1:]).astype(np.int8)
        found = output.quantization
        real = (target.astype(np.int64) - found.zero_point[0]) * np.float64(found.scale[0])
    gradients = network.gradients(state, x, target)
    agree = []
    for position, layer in state.items():
        adapter = layer.adapter
        if adapter is None:
            continue
        after = adapter.moved(gradients[position][0], 1.0)
        for factor in ("down", "up"):
            values = getattr(adapter, factor)
            for _ in range(5):
                place = tuple(int(dice.integers(size)) for size in values.shape)
                ends = []
                for sign in (1, -1):
                    shifted = values.copy()
                    shifted[place] += sign * STEP
                    other = replace(adapter, **{factor: shifted})
                    changed = {**state, position: other.layer(layer.weights.shape, layer.bias)}
                    ends.append(_loss(network, changed, x, real, kind=name))
                slope = values[place] - getattr(after, factor)[place]
                agree.append((slope, (ends[0] - ends[1]) / STEP / 2))
    computed, measured = np.array(agree).T
    size = np.abs(measured).max()
    assert size > 1e-4
    assert (np.abs(computed - measured) > 0.03 * size).mean() < 0.1
