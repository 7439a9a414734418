# SPDX-License-Identifier: Apache-2.0
"""Integer scaling against exact and double-precision arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.ops.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    divide_by_power_of_two,
    doubling_high_mul,
    quantize_multiplier,
    round_half_away,
    scale_once,
    scale_twice,
    wide_multiplier,
)

int32s = st.one_of(
    st.sampled_from([INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX]),
    st.integers(INT32_MIN, INT32_MAX),
)
checked = settings(deadline=None, derandomize=True, max_examples=300)


def rounded(value: Fraction) -> int:
    """To nearest, ties away from zero."""
    size = math.floor(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


@checked
@given(a=int32s, b=int32s)
def test_high_multiplication_is_the_reference_s(a: int, b: int) -> None:
    product = a * b
    nudge = 2**30 if product >= 0 else 1 - 2**30
    expected = abs(product + nudge) // 2**31 * (1 if product + nudge >= 0 else -1)
    assert int(doubling_high_mul(a, b)) == min(expected, INT32_MAX)


@checked
@given(x=int32s, exponent=st.integers(0, 31))
def test_division_rounds_ties_away_from_zero(x: int, exponent: int) -> None:
    assert int(divide_by_power_of_two(x, exponent)) == rounded(Fraction(x, 2**exponent))


@checked
@given(st.floats(1e-9, 1e9))
def test_a_multiplier_is_within_half_a_unit(real: float) -> None:
    made = quantize_multiplier(real)
    assert 2**30 <= made.value < 2**31
    error = abs(Fraction(made.value) * Fraction(2) ** (made.shift - 31) - Fraction(real))
    assert error <= Fraction(2) ** (made.shift - 32)


def test_tiny_multipliers_vanish() -> None:
    assert quantize_multiplier(2.0**-40).value == 0
    assert int(scale_twice(np.array([INT32_MAX]), 0, 0)[0]) == 0


@checked
@given(
    real=st.floats(-28, 10).map(lambda e: 2.0**e),
    steps=st.lists(st.tuples(st.integers(-260, 260), st.integers(-3, 3)), min_size=1),
)
def test_one_rounding_equals_double_precision_at_every_step(
    real: float, steps: list[tuple[int, int]]
) -> None:
    made = wide_multiplier(real)
    for step, offset in steps:
        acc = round((step + 0.5) / real) + offset
        if abs(acc) > INT32_MAX:
            continue
        expected = round_half_away(float(acc) * real)
        ours = int(scale_once(np.array([acc]), made.high, made.low, made.shift)[0])
        assert max(-256, min(256, ours)) == max(-256, min(256, expected))


@checked
@given(
    numerator=st.integers(1, 2000),
    denominator=st.integers(1, 2000),
    acc=st.integers(-100000, 100000),
)
def test_one_rounding_survives_products_that_round_onto_a_tie(
    numerator: int, denominator: int, acc: int
) -> None:
    real = numerator / denominator / 2
    try:
        made = wide_multiplier(real)
    except UnsupportedError:
        assert contradicts_itself(real)
        return
    expected = round_half_away(float(acc) * real)
    ours = int(scale_once(np.array([acc]), made.high, made.low, made.shift)[0])
    assert max(-256, min(256, ours)) == max(-256, min(256, expected))


def contradicts_itself(real: float) -> bool:
    """Whether no factor whatsoever gives what double precision gives: it rounds some products up
    onto their tie, and others with the same quotient of tie and accumulator not."""
    lowest, highest = Fraction(0), Fraction(2**62)
    for step in range(256):
        edge = Fraction(2 * step + 1, 2)
        acc = math.floor(edge / Fraction(real))
        for near in range(max(1, acc - 1), acc + 3):
            if round_half_away(float(near) * real) > step:
                lowest = max(lowest, edge / near)
            else:
                highest = min(highest, edge / near)
    return lowest >= highest


def test_a_third_times_three_halves_needs_the_correction() -> None:
    """3 * (1/6) is a tie in double precision, although the double 1/6 is below a sixth."""
    real = 1 / 6
    assert Fraction(real) * 3 < Fraction(1, 2)
    assert 3 * real == 0.5
    made = wide_multiplier(real)
    assert scale_once(np.array([3, -3]), made.high, made.low, made.shift).tolist() == [1, -1]


@pytest.mark.parametrize("real", [0.0, -1.0, 2.0**30, 2.0**-63, float("inf"), float("nan")])
def test_senseless_factors_are_refused(real: float) -> None:
    with pytest.raises(UnsupportedError):
        wide_multiplier(real)
