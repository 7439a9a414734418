# SPDX-License-Identifier: Apache-2.0
"""Channels in another order: the same network, and every number finds its way back."""

from __future__ import annotations

import numpy as np
import pytest

from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.gradient.arrange import arrange
from fleetgrad_codegen.gradient.tape import weighted_rule
from fleetgrad_codegen.ops import interpret
from fleetgrad_codegen.scheme import Sparse, find_head
from support.deep_models import DEEP


@pytest.mark.parametrize("name", DEEP)
def test_arranged_network_computes_the_same(name: str) -> None:
    graph = read_model(DEEP[name](np.random.default_rng(3)), name)
    ratios = Sparse(ratio=0.4).ratios(find_head(graph))
    chosen = {
        place: max(1, int(ratio * graph.tensors[graph.ops[place].inputs[1]].shape[0]))
        for place, ratio in ratios.items()
        if 0 < ratio < 1
    }
    arranged = arrange(graph, chosen)
    assert arranged.places
    dice = np.random.default_rng(5)
    for _ in range(5):
        x = dice.integers(-128, 128, graph.tensors[graph.inputs[0]].shape).astype(np.int8)
        np.testing.assert_array_equal(interpret(graph, [x])[0], interpret(arranged.graph, [x])[0])
    for index, places in arranged.places.items():
        before, after = graph.tensors[index].data, arranged.graph.tensors[index].data
        back = np.empty_like(before)
        axes = [
            range(size) if place is None else place
            for place, size in zip(places, before.shape, strict=True)
        ]
        back[np.ix_(*axes)] = after
        np.testing.assert_array_equal(back, before)


def test_chosen_channels_have_the_largest_weights() -> None:
    graph = read_model(DEEP["separable"](np.random.default_rng(3)), "m")
    place = next(i for i, op in enumerate(graph.ops) if op.kind == "CONV_2D")
    arranged = arrange(graph, {place: 3}).graph
    rule, op = weighted_rule(arranged, place), arranged.ops[place]
    rows = rule.by_channel(arranged.tensors[op.inputs[1]].data).astype(float)
    norms = np.linalg.norm(rows, axis=1) * rule.weight_scales(arranged, op)
    assert (np.diff(norms) <= 1e-9).all()


def test_order_stays_where_all_channels_train() -> None:
    graph = read_model(DEEP["separable"](np.random.default_rng(3)), "m")
    place = next(i for i, op in enumerate(graph.ops) if op.kind == "CONV_2D")
    assert not arrange(graph, {place: 8}).places
