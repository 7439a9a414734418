# SPDX-License-Identifier: Apache-2.0
"""The fixed-point arithmetic that operators share, bit for bit as in TFLite's reference kernels.

Two ways of scaling an int32 accumulator by a real number exist side by side; which operator uses
which is in docs/rounding.md. Array functions take and return int64 arrays that hold int32 values:
NumPy then cannot overflow where the reference would not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fleetgrad_codegen.errors import UnsupportedError

Ints = npt.NDArray[Any]

INT32_MIN = -(2**31)
INT32_MAX = 2**31 - 1

SCALED_LIMIT = 2**30
"""Accumulator times factor stays below this, or the operator is refused: beyond it the reference's
left shifts and sums overflow. Outputs end at a few hundred."""


def round_half_away(value: float) -> int:
    """The nearest integer, ties away from zero, as C's ``round``."""
    whole = math.floor(abs(value))
    if abs(value) - whole >= 0.5:
        whole += 1
    return whole if value >= 0 else -whole


def wrap_int32(values: Ints) -> Ints:
    """The low 32 bits, read as two's complement."""
    return (values + 2**31) % 2**32 - 2**31


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A positive real number as ``value * 2**(shift - 31)``: a 31-bit significand and an exponent.

    Attributes:
        value: 0, or within [2**30, 2**31).
        shift: Left shift when positive, rounding right shift when negative; within [-31, 30].
    """

    value: int
    shift: int


def quantize_multiplier(real: float) -> Multiplier:
    """The nearest `Multiplier`; numbers below about 2**-32 become 0."""
    if real == 0.0:
        return Multiplier(0, 0)
    significand, shift = math.frexp(real)
    value = round_half_away(significand * 2**31)
    if value == 2**31:
        value //= 2
        shift += 1
    if shift < -31:
        return Multiplier(0, 0)
    return Multiplier(value, shift)


def doubling_high_mul(a: Ints | int, b: Ints | int) -> Ints:
    """``a * b / 2**31`` to nearest, ties towards positive infinity; saturates at (-2**31)**2.

    The reference adds 2**30 for positive and 1 - 2**30 for negative products and then truncates
    towards zero, which is the same as flooring after adding 2**30.
    """
    product: Ints = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    return np.asarray(np.minimum((product + 2**30) >> 31, INT32_MAX))


def divide_by_power_of_two(x: Ints | int, exponent: Ints | int) -> Ints:
    """``x / 2**exponent``, rounded to nearest, ties away from zero."""
    values = np.asarray(x, np.int64)
    mask = (np.int64(1) << np.asarray(exponent, np.int64)) - 1
    threshold = (mask >> 1) + (values < 0)
    return np.asarray((values >> exponent) + ((values & mask) > threshold))


def scale_twice(x: Ints, value: Ints | int, shift: Ints | int) -> Ints:
    """``x * value * 2**(shift - 31)`` with two roundings: after the product and after the shift.

    Args:
        x: int32 values.
        value: `Multiplier.value`, one or one per element of the last dimension.
        shift: `Multiplier.shift`, likewise.

    Returns:
        int32 values. Operators refuse scales on which a left shift could leave int32.
    """
    factor, exponent = np.asarray(value, np.int64), np.asarray(shift, np.int64)
    shifted = x.astype(np.int64) << np.maximum(exponent, 0)
    return divide_by_power_of_two(doubling_high_mul(shifted, factor), np.maximum(-exponent, 0))


@dataclass(frozen=True, slots=True)
class WideMultiplier:
    """A positive real number as ``(high * 2**32 + low) * 2**-(32 + shift)``.

    The reference scales fully connected accumulators in double precision and rounds once. A 31-bit
    significand gets the last bit wrong for a few accumulator values; 63 bits, checked against the
    reference at every step of the output, get all of them right, for one more multiplication per
    output.

    Attributes:
        high: Upper half of the significand, below 2**31.
        low: Lower half, below 2**32.
        shift: Rounding right shift of the upper half's product, within [1, 62].
    """

    high: int
    low: int
    shift: int


def scale_once(x: Ints, high: Ints | int, low: Ints | int, shift: Ints | int) -> Ints:
    """``x`` times a `WideMultiplier`, rounded once to nearest, ties away from zero.

    Args:
        x: int32 values.
        high: `WideMultiplier.high`, one or one per element of the last dimension.
        low: `WideMultiplier.low`, likewise.
        shift: `WideMultiplier.shift`, likewise.

    Returns:
        int64 values: ``sign(x) * ((|x| * high + (|x| * low >> 32) + 2**(shift - 1)) >> shift)``.
    """
    size = np.abs(x.astype(np.int64)).astype(np.uint64)
    right = np.asarray(shift, np.uint64)
    carry = (size * np.asarray(low, np.uint64)) >> np.uint64(32)
    product = size * np.asarray(high, np.uint64) + carry
    rounded: Ints = (product + (np.uint64(1) << (right - np.uint64(1)))) >> right
    return np.where(x < 0, -1, 1) * rounded.astype(np.int64)


def _steps(real: float, top: int) -> Ints:
    """Accumulators next to where ``round(acc * real)`` steps up to 1, 2, ... ``top``."""
    edges = np.floor((np.arange(1, top + 1) - 0.5) / real)
    near = edges[:, None] + np.arange(-2, 4)
    return np.unique(near[(near >= 0) & (near <= 2.0**31)]).astype(np.int64)


@lru_cache(maxsize=4096)
def wide_multiplier(real: float, top: int = 256) -> WideMultiplier:
    """The `WideMultiplier` that scales as double precision arithmetic does.

    Args:
        real: The factor, positive and below 2**30.
        top: Largest magnitude of the result that has to be right; beyond it the output saturates.

    Returns:
        A multiplier for which ``scale_once`` equals ``round(double(acc) * real)`` for every int32
        accumulator, as far as results up to ``top`` are concerned. Both are monotonic in the
        accumulator and odd, so comparing them around each step proves it.

    Raises:
        UnsupportedError: The factor is not positive, or too large or small to be of any use.
    """
    if not 2.0**-62 < real < 2.0**30:
        raise UnsupportedError(
            f"the scales of a layer make an output factor of {real:g}",
            expected="input scale * weight scale / output scale between 2**-62 and 2**30",
            hint="export the model again with a representative data set",
        )
    exponent = math.frexp(real)[1]
    shift = min(62, 31 - exponent)
    significand = math.floor(math.ldexp(real, shift + 32))
    steps = _steps(real, top)
    scaled = steps.astype(np.float64) * real
    wanted = np.minimum(np.where(scaled % 1 >= 0.5, np.ceil(scaled), np.floor(scaled)), top)

    def mistakes(made: WideMultiplier) -> npt.NDArray[np.bool_]:
        ours = np.minimum(scale_once(steps, made.high, made.low, made.shift), top)
        return np.not_equal(ours, wanted)

    made = WideMultiplier(significand >> 32, significand & 0xFFFFFFFF, shift)
    wrong = mistakes(made)
    if wrong.any():
        # A product of doubles may round up onto a tie that the exact product just misses.
        for acc, result in zip(steps[wrong].tolist(), wanted[wrong].tolist(), strict=True):
            tie = (2 * int(result) - 1) << (shift + 31)
            significand = max(significand, -(-tie // acc))
        made = WideMultiplier(significand >> 32, significand & 0xFFFFFFFF, shift)
        # Quotients of very small whole numbers demand both of one multiplier: to reach a tie, and
        # to stay below another. Calibrated scales never are such quotients.
        if mistakes(made).any():
            raise UnsupportedError(
                f"an output factor of {real!r} cannot be reproduced in integers",
                hint="export the model again; another calibration data set gives other scales",
            )
    return made


def per_channel(multipliers: Sequence[Multiplier]) -> tuple[Ints, Ints]:
    """Values and shifts of many multipliers, as int64 arrays for ``scale_twice``."""
    pairs = np.array([(m.value, m.shift) for m in multipliers], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
