# SPDX-License-Identifier: Apache-2.0
"""int8 errors: what rounding, expectations and sums of them may lose."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fleetgrad_codegen.training.errors import (
    ERROR_LIMIT,
    MOST_TERMS,
    Errors,
    bit_length,
    merge,
    ratio_of,
    ratios_of,
    shrink,
)

SUMS = arrays.arrays(np.int64, 20, elements=st.integers(-(2**31) + 1, 2**31 - 1))
INT8 = arrays.arrays(np.int64, 20, elements=st.integers(-127, 127))
SCALES = st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=6)


@settings(deadline=None)
@given(SUMS, INT8.filter(lambda v: v.any()))
def test_first_sample_uses_the_whole_range_and_rounds_to_nearest(
    sums: np.ndarray, source: np.ndarray
) -> None:
    made, gain = shrink(sums, Errors(source, -20), None, -30)
    unit = 2 ** (made.exponent + 30)
    off = np.abs(made.values * unit - sums)
    clamped = np.abs(made.values) == ERROR_LIMIT
    assert (off[~clamped] <= unit / 2).all()
    assert (off <= unit).all()  # 127.5 units and more become 127
    assert bit_length(made.values) >= min(7, bit_length(sums))
    assert gain is None or gain == 8 * (bit_length(sums) - bit_length(source))


def test_expectation_rises_at_once_and_falls_slowly() -> None:
    source = Errors(np.array([100]), 0)
    large, small = np.array([1 << 20]), np.array([1 << 10])
    _, gain = shrink(small, source, None, 0)
    _, risen = shrink(large, source, gain, 0)
    assert risen == 8 * (21 - 7)
    _, fallen = shrink(small, source, risen, 0)
    assert fallen == risen - 1


def test_too_low_an_expectation_clamps() -> None:
    source = Errors(np.array([100]), 0)
    _, gain = shrink(np.array([127]), source, None, 0)
    made, _ = shrink(np.array([-(1 << 20), 5]), source, gain, 0)
    assert made.values.tolist() == [-127, 5]


def test_nothing_is_learned_from_zeros() -> None:
    none = np.zeros(3, np.int64)
    assert shrink(none, Errors(np.array([5]), 0), None, 0)[1] is None
    assert shrink(none, Errors(np.array([5]), 0), 40, 0)[1] == 40
    made, gain = shrink(none, Errors(none, -9), 40, 3)
    assert (made.exponent, gain) == (-9, 40)


@settings(deadline=None)
@given(SCALES, st.integers(1, 5000), st.booleans())
def test_scaled_errors_mean_the_same_and_their_sums_fit(
    scales: list[float], terms: int, wide: bool
) -> None:
    ratios = ratios_of(scales, terms=terms, wide=wide)
    largest = 32767 if wide else 127
    errors = np.full(len(scales), largest)
    scaled = ratios.apply(errors)
    assert np.abs(scaled).max() * 127 * max(terms, MOST_TERMS // 2) < 2**31
    real = scaled * 2.0**ratios.exponent
    wanted = largest * np.array(scales)
    step = 2.0**ratios.exponent + max(scales) * largest * 2.0**-14
    np.testing.assert_allclose(real, wanted, atol=step, rtol=0)


@settings(deadline=None)
@given(INT8, INT8, st.integers(-40, 0), st.integers(-40, 0), st.floats(0.01, 100.0))
def test_a_sum_is_as_good_as_int8_can_be(
    one: np.ndarray, other: np.ndarray, mine: int, theirs: int, ratio: float
) -> None:
    made = merge(Errors(one, mine), Errors(other, theirs), ratio_of(ratio))
    wanted = one * 2.0**mine + other * 2.0**theirs * ratio
    unit = 2.0**made.exponent
    assert np.abs(made.values * unit - wanted).max() <= unit * 1.01 + np.abs(wanted).max() * 2e-4
