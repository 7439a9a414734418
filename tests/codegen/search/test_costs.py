# SPDX-License-Identifier: Apache-2.0
"""Sums of rows' costs against what the planner says of whole schemes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer
from fleetgrad_codegen.search import Choice, KernelCost, Space, search_space
from fleetgrad_codegen.search.costs import CostModel, planned_cost
from fleetgrad_codegen.search.instructions import KERNELS, Work, instructions, work_of
from support.deep_models import DEEP

RATES = {kernel: KernelCost(1.0 + n, 3.0 * n) for n, kernel in enumerate(KERNELS)}
NAMES = ("cnn", "separable", "turned", "spectral", "residual")


@cache
def space_of(name: str) -> Space:
    model = DEEP[name](np.random.default_rng(3))
    return search_space(model, name, loss=Loss.SOFTMAX_CROSS_ENTROPY, last=LastLayer(classes=3))


@cache
def costs_of(name: str) -> CostModel:
    return CostModel(space_of(name), RATES)


def some_choices(space: Space, count: int) -> list[Choice]:
    rng = np.random.default_rng(7)
    made = []
    for _ in range(count):
        choice = space.biases(int(rng.integers(1, len(space.layers) + 1)))
        for layer in space.layers[-choice.layers :]:
            if not layer.always and rng.random() < 0.6:
                choice = choice.with_ratio(layer.op, float(rng.choice(layer.ratios)))
        made.append(choice)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_sums_are_nearly_what_the_planner_finds(name: str) -> None:
    """Small models, where an operator that ceases to work in place weighs much."""
    space, costs = space_of(name), costs_of(name)
    for choice in some_choices(space, 12):
        said, (planned, plan) = costs.cost(choice), planned_cost(space, choice, RATES)
        bound = planned.ram_bytes - plan.layout.arena_bytes + plan.layout.lower_bound_bytes
        assert bound - 3 <= said.ram_bytes <= 1.15 * bound  # 3: of alignment
        assert said.instructions == pytest.approx(planned.instructions, abs=len(choice.ratios))
        assert said.flash_bytes == pytest.approx(planned.flash_bytes, rel=0.15)


def test_ratios_are_those_that_differ_in_channels() -> None:
    by_kind = {layer.kind: layer for layer in space_of("separable").layers}
    assert by_kind["DEPTHWISE_CONV_2D"].ratios == (1.0,)
    assert by_kind["FULLY_CONNECTED"].ratios == (1.0,)  # the last layer: the last one of its kind
    for layer in space_of("separable").layers[:-1]:
        counts = [max(1, int(ratio * layer.channels + 0.5)) for ratio in layer.ratios]
        assert counts == sorted(set(counts))
        assert counts[-1] == layer.channels


def test_work_of_a_convolution_and_of_its_update() -> None:
    space = space_of("spectral")
    conv = next(layer for layer in space.layers if layer.kind == "CONV_2D")
    whole = space.biases(2).with_ratio(conv.op, 1.0)
    work = work_of(space.program(whole))
    # 6x6 image, stride 2, then a 3x3 convolution from 6 to 4 channels on 3x3 pixels.
    assert work["conv"] == Work(9 * 54 * 4, 36)
    assert work["conv_update"] == Work(9 * 54 * 4 + 9 * 4, 54 * 4 + 4)
    assert work["conv_errors"] == Work()  # nobody before it trains
    assert work["depthwise"] == Work(9 * 9 * 6, 54)
    assert work["dense_errors"] == Work(36 * 3, 36)
    rates = {"conv": KernelCost(2.0, 10.0), "dense_errors": KernelCost(0.5, 0.25)}
    assert instructions(work, rates) == 2 * 9 * 54 * 4 + 360 + 54 + 9
