# SPDX-License-Identifier: Apache-2.0
"""int8 error tensors with a power of two each; mirrors ``error.c`` and ``merge_errors.c``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.training.fixed_point import Ints, shift_round

LOSS_EXPONENT = -15
ERROR_LIMIT = 127
RATIO_BITS = 15
LARGEST_RATIO = (1 << RATIO_BITS) - 1
MOST_TERMS = 512
"""Products of a 16-bit error and an int8 weight whose sum fits 32 bits."""
_LARGEST_SHIFT = 31


def bit_length(values: Ints) -> int:
    """Of the largest magnitude; 0 where all values are zero."""
    return int(np.abs(values).max(initial=0)).bit_length()


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """One sample's errors of one tensor: ``values * 2**exponent``, times a constant factor.

    Attributes:
        values: int8 values; of the loss, 16-bit ones.
        exponent: Of this sample.
    """

    values: Ints
    exponent: int

    @property
    def bits(self) -> int:
        """Bit length of the largest magnitude."""
        return bit_length(self.values)


@dataclass(frozen=True, slots=True)
class Ratios:
    """Brings errors of all output channels to one unit, as ``fg_error_ratio``.

    Attributes:
        values: int16: one, or one per output channel.
        shift: To the right, at least 1.
        exponent: That this adds to the tensor's.
    """

    values: tuple[int, ...]
    shift: int
    exponent: int

    def apply(self, errors: Ints) -> Ints:
        """16-bit errors in a common unit, from [..., channels] (or any shape for one ratio)."""
        products = errors * np.array(self.values, np.int64)
        scaled: Ints = (products + (1 << (self.shift - 1))) >> self.shift
        return scaled


def ratios_of(scales: Sequence[float], *, terms: int, wide: bool) -> Ratios:
    """The ratios of a layer.

    Args:
        scales: Of its weights, times the constant factor of the errors it gets.
        terms: Most products in one sum.
        wide: Whether the errors are the 16-bit gradient of the loss.
    """
    largest = math.frexp(max(scales))[1]
    values = tuple(
        min(LARGEST_RATIO, math.floor(math.ldexp(s, RATIO_BITS - largest) + 0.5)) for s in scales
    )
    guard = max(0, (max(terms, 1) - 1).bit_length() - (MOST_TERMS - 1).bit_length())
    shift = (RATIO_BITS if wide else RATIO_BITS - 8) + guard
    return Ratios(values, shift, largest + shift - RATIO_BITS)


def rounded(sums: Ints, shift: int) -> Ints:
    """``sums / 2**shift`` to nearest, ties away from zero, within ``+-ERROR_LIMIT``."""
    half = (1 << shift) >> 1
    sizes = np.minimum((np.abs(sums) + half) >> shift, ERROR_LIMIT)
    values: Ints = np.sign(sums) * sizes
    return values


def shrink(
    sums: Ints, source: Errors, gain: int | None, exponent: int
) -> tuple[Errors, int | None]:
    """32-bit sums as int8 errors, by an expectation of how large they are.

    Args:
        sums: Masked already.
        source: The errors they were computed from.
        gain: 8 times (bits of the largest sum - bits of the source), as expected; None at first.
        exponent: Of the sums.

    Returns:
        The errors, and the expectation for the next sample.
    """
    if source.bits == 0:
        return Errors(np.zeros_like(sums), source.exponent), gain
    peak = bit_length(sums)
    seen = 8 * (peak - source.bits)
    if peak and gain is None:
        gain = seen
    shift = 0
    if gain is not None:
        shift = min(max(0, ((gain + 7) >> 3) + source.bits - 7), _LARGEST_SHIFT)
    if peak and gain is not None:
        gain = seen if seen > gain else gain - (seen < gain)
    return Errors(rounded(sums, shift), exponent + shift), gain


def merge(one: Errors, other: Errors, ratio: tuple[int, int]) -> Errors:
    """The sum of errors that come from two readers of one tensor.

    Args:
        one: Whose constant factor the sum has.
        other: The second.
        ratio: Its constant factor by that of the first, as mantissa (15 bits) and exponent.
    """
    if other.bits == 0:
        return one
    mantissa, extra = ratio
    theirs = other.exponent + extra
    mine = theirs if one.bits == 0 else one.exponent
    largest = max(mine, theirs)
    limit = (1 << 31) - 1
    total = shift_round(one.values << RATIO_BITS, largest - mine, limit)
    total = total + shift_round(other.values * mantissa, largest - theirs, limit)
    shift = max(0, bit_length(total) - 7)
    return Errors(rounded(total, shift), largest - RATIO_BITS + shift)


def ratio_of(real: float) -> tuple[int, int]:
    """A positive constant as ``mantissa * 2**(exponent - 15)``, mantissa below 2**15."""
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(math.ldexp(fraction, RATIO_BITS) + 0.5)
    if mantissa == 1 << RATIO_BITS:
        return 1 << (RATIO_BITS - 1), exponent + 1
    return mantissa, exponent
