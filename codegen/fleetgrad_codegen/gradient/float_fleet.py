# SPDX-License-Identifier: Apache-2.0
"""FedAvg of float networks: the same fleet, nothing ever rounded to integers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fleetgrad_codegen.gradient.float_network import (
    FloatAdapter,
    FloatLayer,
    FloatNetwork,
    FloatState,
)
from fleetgrad_codegen.ir import Array
from fleetgrad_codegen.training.float_forward import Floats
from fleetgrad_codegen.training.local import LocalPlan


@dataclass(frozen=True, slots=True, eq=False)
class FleetSamples:
    """One device's private samples.

    Attributes:
        device_id: 64-bit identity; keys the sample order.
        x: int8 [samples, ...].
        labels: [samples].
        eval_x: Held out, likewise.
        eval_labels: Held out, likewise.
    """

    device_id: int
    x: Array
    labels: Array
    eval_x: Array
    eval_labels: Array


def federated_accuracy(
    network: FloatNetwork, devices: Sequence[FleetSamples], *, plan: LocalPlan, rounds: int
) -> list[float]:
    """Accuracy over all held-out samples before the first and after each round.

    Every device takes part in every round, weighted by its samples.

    Args:
        network: Where to start.
        devices: The fleet.
        plan: The terms of every round; ``round_number`` counts up from 1.
        rounds: How many.
    """
    state = network.initial()
    history = [_accuracy(network, state, devices)]
    for number in range(1, rounds + 1):
        terms = replace(plan, round_number=number)
        trained = [
            network.train(state, device.x, device.labels, plan=terms, device_id=device.device_id)
            for device in devices
        ]
        state = _mean(trained, [len(device.x) for device in devices])
        history.append(_accuracy(network, state, devices))
    return history


def _mean(states: Sequence[FloatState], counts: Sequence[int]) -> FloatState:
    shares = [count / sum(counts) for count in counts]
    made = {}
    for position in states[0]:
        layers = [state[position] for state in states]
        bias = _weighted([layer.bias for layer in layers], shares)
        adapters = [layer.adapter for layer in layers if layer.adapter is not None]
        if adapters:
            down = _weighted([adapter.down for adapter in adapters], shares)
            up = _weighted([adapter.up for adapter in adapters], shares)
            adapter = FloatAdapter(adapters[0].frozen, down, up)
            made[position] = adapter.layer(layers[0].weights.shape, bias)
        else:
            weights = _weighted([layer.weights for layer in layers], shares)
            made[position] = FloatLayer(weights, bias)
    return made


def _weighted(arrays: Sequence[Floats], shares: Sequence[float]) -> Floats:
    parts = (share * array for share, array in zip(shares, arrays, strict=True))
    mean: Array = sum(parts, start=np.zeros(()))
    return mean.astype(np.float32)


def _accuracy(network: FloatNetwork, state: FloatState, devices: Sequence[FleetSamples]) -> float:
    samples = sum(len(device.eval_x) for device in devices)
    right = sum(
        network.accuracy(state, device.eval_x, device.eval_labels) * len(device.eval_x)
        for device in devices
        if len(device.eval_x)
    )
    return right / samples if samples else float("nan")
