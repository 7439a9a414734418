# SPDX-License-Identifier: Apache-2.0
"""Logistic and tanh of 16-bit fixed-point numbers, bit for bit as gemmlowp computes them.

Arguments are Qm.(15 - m), results Q0.15. There are 65,536 arguments: each function is computed for
all of them once, and then looked up. A device computes them anew, which takes no table.
"""

from functools import lru_cache

import numpy as np

from fleetgrad_codegen.ops.fixed_point import Ints, divide_by_power_of_two

INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1

_EXP_EIGHTH = 28918
"""exp(-1/8) as Q0.15."""
_THIRD = 10923
_EXP_FACTORS = ((-2, 25520), (-1, 19875), (0, 12055), (1, 4435), (2, 600), (3, 11), (4, 0))
"""exp(-(2**exponent)) as Q0.15."""
_48_17 = 23130
"""48/17 as Q2.13, with the next one the best linear start for Newton-Raphson."""
_MINUS_32_17 = -15420
_ONE_Q2_13 = 1 << 13


def logistic(values: Ints) -> Ints:
    """1 / (1 + exp(-x)) of Q3.12 values.

    Args:
        values: int16 values.

    Returns:
        int64 array of Q0.15 values.
    """
    found: Ints = _logistic_table()[values.astype(np.int64) - INT16_MIN]
    return found


def tanh(values: Ints, integer_bits: int) -> Ints:
    """The hyperbolic tangent of fixed-point values with so many integer bits, 0 to 6.

    Args:
        values: int16 values.
        integer_bits: The argument is value * 2**(integer_bits - 15).

    Returns:
        int64 array of Q0.15 values.
    """
    found: Ints = _tanh_table(integer_bits)[values.astype(np.int64) - INT16_MIN]
    return found


def _every() -> Ints:
    return np.arange(INT16_MIN, INT16_MAX + 1, dtype=np.int64)


@lru_cache(maxsize=1)
def _logistic_table() -> Ints:
    x = _every()
    inverse = _reciprocal(_exp_on_negative(np.minimum(x, -x), 3))
    positive = _shifted(inverse, 1)
    return np.where(x == 0, 1 << 14, np.where(x > 0, positive, INT16_MAX - positive))


@lru_cache(maxsize=8)
def _tanh_table(integer_bits: int) -> Ints:
    x = _every()
    # exp(-2|x|): the same bits, read with one integer bit more.
    inverse = _reciprocal(_exp_on_negative(np.minimum(x, -x), integer_bits + 1))
    positive = _shifted(inverse - _ONE_Q2_13, 2)
    return np.where(x == 0, 0, np.where(x > 0, positive, -positive))


def _multiply(a: Ints, b: Ints | int) -> Ints:
    """The product / 2**15 to nearest, ties up, saturated."""
    product: Ints = a * b + 2**14
    made: Ints = np.minimum(product >> 15, INT16_MAX)
    return made


def _shifted(values: Ints, bits: int) -> Ints:
    made: Ints = np.clip(values * 2**bits, INT16_MIN, INT16_MAX)
    return made


def _exp_on_negative(a: Ints, integer_bits: int) -> Ints:
    """exp() of values up to 0: a polynomial on [-1/4, 0), then factors."""
    fraction = 15 - integer_bits
    quarter = 1 << (fraction - 2)
    rest = (a & (quarter - 1)) - quarter
    x = (rest << integer_bits) + (1 << 12)  # of x + 1/8
    x2 = _multiply(x, x)
    x3 = _multiply(x2, x)
    x4 = _multiply(x2, x2)
    inner = _multiply(divide_by_power_of_two(x4, 2) + x3, _THIRD) + x2
    series = x + divide_by_power_of_two(inner, 1)
    result: Ints = np.minimum(_EXP_EIGHTH + _multiply(series, _EXP_EIGHTH), INT16_MAX)
    remainder = rest - a
    for exponent, factor in _EXP_FACTORS:
        if exponent < integer_bits:
            bit = 1 << (fraction + exponent)
            result = np.where(remainder & bit, _multiply(result, factor), result)
    if integer_bits > 5:
        result = np.where(a < -32 << fraction, 0, result)
    return np.where(a == 0, INT16_MAX, result)


def _reciprocal(a: Ints) -> Ints:
    """2 / (1 + a) as Q2.13, for Q0.15 values within [0, 1]: Newton-Raphson."""
    half: Ints = (a + 2**15) // 2
    value = _48_17 + _multiply(half, _MINUS_32_17)
    for _ in range(3):
        error = _ONE_Q2_13 - _multiply(half, value)
        value = value + _shifted(_multiply(value, error), 2)
    return value
