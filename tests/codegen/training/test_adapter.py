# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters: integer steps follow the real gradients of both factors."""

from __future__ import annotations

import numpy as np
import pytest

from fleetgrad_codegen.training.adapter import (
    DOWN_BITS,
    Adapter,
    adapter_rates,
    first_down,
    initial_adapter,
    learn_adapter,
    merged,
)
from fleetgrad_codegen.training.errors import Errors, ratios_of
from fleetgrad_codegen.training.fixed_point import LearningRate, scale_of
from fleetgrad_codegen.training.learn import Rates
from fleetgrad_codegen.training.update import MASTER_LIMIT, shadow_of

INPUT_SCALE, FACTOR, EXPONENT = 0.03, 0.7, -14


def rates_of(scales: list[float], rank: int, inputs: int, pixels: int):
    weight = tuple(scale_of(FACTOR * INPUT_SCALE * 256 / s) for s in scales)
    bias = tuple(scale_of(FACTOR / (INPUT_SCALE * s)) for s in scales)
    ratios = ratios_of([s * FACTOR for s in scales], terms=1, wide=False)
    return adapter_rates(
        Rates(5, weight, bias), ratios, rank=rank, inputs=inputs, pixels=pixels,
        input_scale=INPUT_SCALE,
    )  # fmt: skip


@pytest.mark.parametrize(("rank", "inputs", "outputs", "pixels"), [
    (1, 7, 5, 1), (3, 16, 12, 1), (2, 12, 9, 30), (8, 64, 48, 700),
])  # fmt: skip
def test_both_factors_follow_their_real_gradients(
    rank: int, inputs: int, outputs: int, pixels: int
) -> None:
    dice = np.random.default_rng(rank)
    scales = (0.002 + 0.003 * dice.random(outputs)).tolist()
    rates = rates_of(scales, rank, inputs, pixels)
    start = Adapter(
        first_down(rank, inputs, 3) + dice.integers(-300, 300, (rank, inputs)),
        dice.integers(-4000, 4000, (outputs, rank)),
    )
    errors = dice.integers(-127, 128, (pixels, outputs))
    x = dice.integers(-128, 128, (pixels, inputs)) + 20
    # A learning rate at which nothing saturates, and changes are large beside the noise.
    real_e = errors * FACTOR * 2.0**EXPONENT
    gradient = real_e.T @ (x * INPUT_SCALE)
    unit = np.array(scales)[:, None] / 256
    down, up = start.down / 2**DOWN_BITS, start.up * unit
    wanted_up = gradient @ down.T
    wanted_down = up.T @ gradient
    room = min(
        20000 / np.abs(wanted_up / unit).max(), 8000 / np.abs(wanted_down * 2**DOWN_BITS).max()
    )
    rate = LearningRate.of(room)
    made, bias = learn_adapter(
        start, np.zeros(outputs, np.int64), (Errors(errors, EXPONENT), x), rates, rate=rate, key=9
    )
    moved_up = (start.up - made.up) * unit / rate.real
    moved_down = (start.down - made.down) / 2**DOWN_BITS / rate.real
    for found, wanted, step in (
        (moved_up, wanted_up, unit / rate.real),
        (moved_down, wanted_down, 2.0**-DOWN_BITS / rate.real),
    ):
        np.testing.assert_allclose(
            found, wanted, atol=0.01 * np.abs(wanted).max() + 1.5 * np.max(step)
        )
    wanted_bias = -rate.real * real_e.sum(axis=0) / (INPUT_SCALE * np.array(scales))
    np.testing.assert_allclose(bias, wanted_bias, atol=1.5 + 1e-3 * np.abs(wanted_bias).max())


def test_a_new_adapter_changes_nothing() -> None:
    frozen = np.random.default_rng(1).integers(-127, 128, (9, 6))
    np.testing.assert_array_equal(merged(frozen, initial_adapter(3, 6, 9, 2)), frozen)


def test_first_rows_have_length_one_and_differ() -> None:
    down = first_down(4, 50, 7) / 2**DOWN_BITS
    np.testing.assert_allclose(np.linalg.norm(down, axis=1), 1.0, rtol=2e-3)
    assert np.abs(down @ down.T - np.eye(4)).max() < 0.5
    assert (first_down(4, 50, 7) != first_down(4, 50, 8)).any()


@pytest.mark.parametrize("rank", [1, 64])
def test_merged_weights_are_the_rounded_sum_within_their_limits(rank: int) -> None:
    dice = np.random.default_rng(2)
    frozen = dice.integers(-128, 128, (20, 30))
    for limit in (300, MASTER_LIMIT):
        adapter = Adapter(
            dice.integers(-limit, limit + 1, (rank, 30)),
            dice.integers(-limit, limit + 1, (20, rank)),
        )
        exact = frozen + adapter.up @ adapter.down / 2.0 ** (DOWN_BITS + 8)
        made = merged(frozen, adapter)
        assert np.abs(made - exact.clip(-127, 127)).max() <= 0.5 + 2**-8
        assert np.abs(made).max() <= 127
    half = Adapter(np.full((1, 1), 1 << DOWN_BITS), np.full((1, 1), 128))
    assert merged(np.array([[3]]), half).item() == shadow_of(np.array(3 * 256 + 128)) == 4


def test_extreme_errors_saturate() -> None:
    rates = rates_of([0.003] * 8, 64, 40, 3)
    start = Adapter(np.full((64, 40), MASTER_LIMIT), np.full((8, 64), -MASTER_LIMIT))
    rows = Errors(np.full((3, 8), 127), 0), np.full((3, 40), 255)
    made, _ = learn_adapter(
        start, np.zeros(8, np.int64), rows, rates, rate=LearningRate.of(1e3), key=1
    )
    for factor in (made.down, made.up):
        assert np.abs(factor).max() <= MASTER_LIMIT
