# SPDX-License-Identifier: Apache-2.0
"""Activations that are computed again on the way back: less memory, and the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.plan import check_layout
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Full, Sparse
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan
from support.deep_models import DEEP, SAME, Network
from support.learning import learn

if TYPE_CHECKING:
    from pathlib import Path

    from support.native_model import Builder

CE = Loss.SOFTMAX_CROSS_ENTROPY


def wide(rng: np.random.Generator) -> bytes:
    """Depthwise and pointwise layers of one size, a pooling, an addition."""
    net = Network(rng)
    image = net.image(10, 3)
    x = net.conv(image, 16)
    for _ in range(3):
        x = net.conv(net.depthwise(x), 16, window=1)
    x = net.add(x, net.depthwise(x))
    x = net.conv(net.pool("MAX_POOL_2D", x, 2, SAME), 12)
    return net.softmax(net.dense(net.mean(x), 4), image)


MODELS = {**DEEP, "wide": wide}


@pytest.mark.parametrize("name", MODELS)
def test_training_is_the_specifications(native: Builder, tmp_path: Path, name: str) -> None:
    model = MODELS[name](np.random.default_rng(3))
    kept = generate(model, name, scheme=Full(), loss=CE)
    bundle = generate(model, name, scheme=Full(), loss=CE, recomputing=True)
    check_layout(bundle.memory.layout)
    assert bundle.memory.layout.lower_bound_bytes <= kept.memory.layout.lower_bound_bytes
    device = native.load({name: bundle}, tmp_path)[name]
    graph = bundle.program.graph
    dice = np.random.default_rng(9)
    x = dice.integers(-128, 128, (9, *graph.tensors[graph.inputs[0]].shape[1:]), np.int8)
    labels = dice.integers(0, bundle.program.training.classes, len(x))
    plan = LocalPlan(LearningRate.of(0.02), epochs=5, seed=3)
    learn(bundle, device, Full(), x, labels, plan=plan)


def test_the_arena_shrinks_at_a_price_that_is_told() -> None:
    model = wide(np.random.default_rng(3))
    kept = generate(model, "wide", scheme=Full(), loss=CE)
    bundle = generate(model, "wide", scheme=Full(), loss=CE, recomputing=True)
    assert len(bundle.program.recomputed) > 1
    assert bundle.memory.layout.arena_bytes < 0.9 * kept.memory.layout.arena_bytes
    assert kept.manifest["cost"]["recompute_macs"] == 0
    assert 0 < bundle.manifest["cost"]["recompute_macs"] < kept.manifest["cost"]["forward_macs"]
    assert bundle.files["params.bin"] == kept.files["params.bin"]
    assert sum(name.endswith(" again") for name in bundle.memory.steps) == len(
        bundle.program.recomputed
    )


def test_where_nothing_is_gained_nothing_changes() -> None:
    model = wide(np.random.default_rng(3))
    for scheme in (None, Sparse(layers=1)):
        loss = Loss.NONE if scheme is None else CE
        plain = generate(model, "wide", scheme=scheme, loss=loss)
        again = generate(model, "wide", scheme=scheme, loss=loss, recomputing=True)
        assert again.files == plain.files
