# SPDX-License-Identifier: Apache-2.0
"""The integer update: its mean is the real one, whatever the learning rate."""

from __future__ import annotations

import numpy as np
import pytest

from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import LearningRate, shift_round
from fleetgrad_codegen.training.head import HeadShape, make_head
from fleetgrad_codegen.training.update import BIAS_LIMIT, MASTER_LIMIT, shadow_of, update

HEAD = make_head(
    HeadShape(7, 3),
    Loss.SOFTMAX_CROSS_ENTROPY,
    input_scale=0.02,
    input_zero_point=-3,
    weight_scales=[0.01],
)


def _steps(
    rate: float, gradient: np.ndarray, centred: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Changes of masters and bias in many independent steps from zero."""
    moves = [
        update(
            HEAD,
            masters=np.zeros((3, 7), np.int64),
            bias=np.zeros(3, np.int64),
            centred=centred,
            gradient=gradient,
            rate=LearningRate.of(rate),
            key=rng.step_key(11, step),
        )
        for step in range(count)
    ]
    return np.stack([m for m, _ in moves]), np.stack([b for _, b in moves])


@pytest.mark.parametrize("rate", [1e-6, 3e-5, 1e-3, 0.05])
@pytest.mark.parametrize("samples", [1, 3])
def test_rounding_is_unbiased(rate: float, samples: int) -> None:
    dice = np.random.default_rng(1)
    centred = dice.integers(-100, 256, (samples, 1, 7))
    gradient = dice.integers(-20000, 20000, (samples, 1, 3))
    masters, bias = _steps(rate, gradient, centred, 3000)
    mean = np.einsum("spo,spi->oi", gradient / 2**15, centred) / samples
    exact = -LearningRate.of(rate).real * mean * HEAD.rate[0].real
    exact_bias = -LearningRate.of(rate).real * (gradient / 2**15).sum((0, 1)) / samples
    exact_bias = exact_bias * HEAD.bias_rate[0].real
    # Standard error of a stochastically rounded mean is at most 1/2 / sqrt(3000) = 0.009.
    np.testing.assert_allclose(masters.mean(axis=0), exact, atol=0.04, rtol=2e-4)
    np.testing.assert_allclose(bias.mean(axis=0), exact_bias, atol=0.04, rtol=2e-4)
    assert np.abs(masters - exact).max() <= 1.01 + 2e-4 * np.abs(exact).max()


def test_small_gradients_move_a_bias_that_rounding_to_nearest_would_stall() -> None:
    gradient = np.full((1, 1, 3), 300)
    _, bias = _steps(1e-3, gradient, np.zeros((1, 1, 7), np.int64), 2000)
    exact = 1e-3 * 300 / 2**15 * HEAD.bias_rate[0].real
    assert exact < 0.5
    assert -bias.mean() == pytest.approx(exact, rel=0.3)


def test_without_gradient_nothing_moves() -> None:
    masters = np.arange(21).reshape(3, 7)
    moved, bias = update(
        HEAD,
        masters=masters,
        bias=np.array([1, 2, 3]),
        centred=np.full((1, 1, 7), 200),
        gradient=np.zeros((1, 1, 3), np.int64),
        rate=LearningRate.of(1e9),
        key=1,
    )
    np.testing.assert_array_equal(moved, masters)
    np.testing.assert_array_equal(bias, [1, 2, 3])


def test_extreme_rates_saturate_at_the_limits() -> None:
    gradient = np.array([[[-32768, 32767, 0]]])
    moved, bias = update(
        HEAD,
        masters=np.zeros((3, 7), np.int64),
        bias=np.array([BIAS_LIMIT - 5, 5 - BIAS_LIMIT, 0]),
        centred=np.full((1, 1, 7), 255),
        gradient=gradient,
        rate=LearningRate.of(1e30),
        key=1,
    )
    assert (moved[0] == MASTER_LIMIT).all()
    assert (moved[1] == -MASTER_LIMIT).all()
    assert not moved[2].any()
    assert bias.tolist() == [BIAS_LIMIT, -BIAS_LIMIT, 0]
    assert shadow_of(moved).min() == -127
    assert shadow_of(moved).max() == 127


def test_the_order_of_columns_cannot_matter() -> None:
    """A weight's noise depends on its place alone: fewer inputs give the same first columns."""
    keys = rng.row_keys(9, 4)
    np.testing.assert_array_equal(rng.weight_noise(keys, 9)[:, :5], rng.weight_noise(keys, 5))


@pytest.mark.parametrize("shift", [-200, -61, -3, 0, 1, 7, 61, 62, 500])
def test_shifts_round_to_nearest_and_saturate(shift: int) -> None:
    values = [0, 1, -1, 3, -3, 2**40 + 2**6, -(2**40), 2**61 - 1, 1 - 2**61]
    limit = 2**46
    exact = [
        max(-limit, min(limit, v << -shift if shift <= 0 else (v + (1 << (shift - 1))) >> shift))
        for v in values
    ]
    assert shift_round(np.array(values), shift, limit).tolist() == exact
