# SPDX-License-Identifier: Apache-2.0
"""Errors find the maximum of a window, in however many bits it was noted down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan
from support.deep_models import SAME, Network
from support.learning import learn

if TYPE_CHECKING:
    from pathlib import Path

    from support.native_model import Builder


@pytest.mark.parametrize(("window", "routes"), [(2, 4), (4, 2), (5, 1)])
def test_training_through_a_pooling_is_the_specifications(
    native: Builder, tmp_path: Path, window: int, routes: int
) -> None:
    rng = np.random.default_rng(window)
    net = Network(rng)
    image = net.image(11, 2)
    x = net.pool("MAX_POOL_2D", net.conv(image, 7), window, SAME)
    model = net.softmax(net.dense(net.mean(net.conv(x, 6)), 3), image)
    bundle = generate(model, "m", scheme=Bias(), loss=Loss.SOFTMAX_CROSS_ENTROPY)
    (noted,) = (p.buffer for p in bundle.memory.layout.placements if "routes" in p.buffer.name)
    assert noted.size == -(-(net.made.graph.tensors[x].shape[1] ** 2) * 7 // routes)
    device = native.load({"m": bundle}, tmp_path)["m"]
    samples = rng.integers(-128, 128, (6, 11, 11, 2), np.int8)
    plan = LocalPlan(LearningRate.of(0.05), epochs=4, seed=3)
    learn(bundle, device, Bias(), samples, rng.integers(0, 3, 6), plan=plan)
