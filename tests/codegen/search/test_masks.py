# SPDX-License-Identifier: Apache-2.0
"""Training everything and putting most of it back is training the rest."""

from __future__ import annotations

import numpy as np
import pytest

from fleetgrad_codegen.gradient.network import LayerParameters, Progress
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer
from fleetgrad_codegen.search import Choice, Space, masks_of, search_space
from fleetgrad_codegen.training import rng as keys
from fleetgrad_codegen.training.fixed_point import LearningRate
from support.deep_models import DEEP

RATE = LearningRate(1 << 14, -5)


def space_of(name: str) -> Space:
    model = DEEP[name](np.random.default_rng(3))
    return search_space(model, name, loss=Loss.SOFTMAX_CROSS_ENTROPY, last=LastLayer(classes=3))


def trained(space: Space, choice: Choice, keep: np.ndarray | None = None) -> bytes:
    """The parameter vector after some steps; what is not to be kept is put back after each."""
    network = space.training(choice).network
    rng = np.random.default_rng(1)
    shape = network.graph.tensors[network.graph.inputs[0]].shape[1:]
    start = network.vector(network.initial())
    progress = Progress(network.initial(), {})
    for step in range(6):
        sample = rng.integers(-128, 128, shape, np.int8)
        label = np.asarray(int(rng.integers(3)))
        progress, _ = network.step(progress, sample, label, RATE, keys.step_key(5, step))
        if keep is not None:
            vector = np.frombuffer(network.vector(progress.parameters), np.uint8)
            mixed = np.where(keep, vector, np.frombuffer(start, np.uint8)).tobytes()
            progress = Progress(parsed(network, mixed), progress.gains)
    return network.vector(progress.parameters)


def parsed(network: object, vector: bytes) -> dict[int, LayerParameters]:
    """The reverse of Network.vector for layers that train whole."""
    made, offset, biases = {}, 0, {}
    state = network.initial()
    for position, old in state.items():
        size = 4 * old.bias.size
        biases[position] = np.frombuffer(vector[offset : offset + size], "<i4").astype(np.int64)
        offset += size
    for position, old in state.items():
        own = network.own_layout(position, old.masters)
        size = 2 * own.size
        values = np.frombuffer(vector[offset : offset + size], "<i2").astype(np.int64)
        kind = network.graph.ops[position].kind
        rows = values.reshape(own.shape)
        rows = rows.reshape(-1, own.shape[-1]).T if kind.startswith("DEPTHWISE") else rows
        made[position] = LayerParameters(biases[position], rows.reshape(old.masters.shape))
        offset += size
    return made


@pytest.mark.parametrize("name", ["cnn", "separable", "residual"])
def test_whole_layers_and_biases_come_out_the_same_bits(name: str) -> None:
    space = space_of(name)
    choice = space.biases(len(space.layers) - 1)
    weights = space.layers[-2]
    choice = choice.with_ratio(weights.op, 1.0)
    mask = masks_of(space)(choice)
    whole = np.frombuffer(trained(space, space.whole(), mask), np.uint8)
    own = np.frombuffer(trained(space, choice), np.uint8)
    assert (whole[mask] == own).all()
    start = space.training(space.whole()).network
    initial = np.frombuffer(start.vector(start.initial()), np.uint8)
    assert (whole[~mask] == initial[~mask]).all()
    assert (whole[mask] != initial[mask]).any()


@pytest.mark.parametrize("name", ["cnn", "separable", "residual"])
def test_a_share_keeps_the_elements_that_its_own_build_would_start_from(name: str) -> None:
    space = space_of(name)
    for layer in space.layers:
        choice = space.biases(len(space.layers))
        if not layer.always:
            choice = choice.with_ratio(layer.op, layer.ratios[0])
        mask = masks_of(space)(choice)
        own = space.training(choice)
        count = sum(segment.nbytes for segment in own.segments)
        assert mask.sum() == count
        whole = space.training(space.whole()).network
        initial = np.frombuffer(whole.vector(whole.initial()), np.uint8)[mask]
        mine = np.concatenate([s.initial.reshape(-1).view(np.uint8) for s in own.segments])
        assert sorted(initial.tolist()) == sorted(mine.tolist())
