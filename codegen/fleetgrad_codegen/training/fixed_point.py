# SPDX-License-Identifier: Apache-2.0
"""Numbers with a mantissa and an exponent, and rounded shifts; mirrors ``train_math.h``."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
"""int64 arrays that hold the device's smaller integers."""

MANTISSA_BITS = 30
_LR_BITS = 15
_LARGEST_SHIFT = 61


@dataclass(frozen=True, slots=True)
class Scale:
    """A positive constant, ``mantissa * 2**(exponent - 30)``, as in ``fg_scale``.

    Attributes:
        mantissa: Within [2**29, 2**30).
        exponent: The number lies within [2**(exponent - 1), 2**exponent).
    """

    mantissa: int
    exponent: int

    @property
    def real(self) -> float:
        """The number it stands for."""
        return math.ldexp(self.mantissa, self.exponent - MANTISSA_BITS)


def scale_of(real: float) -> Scale:
    """The nearest `Scale`.

    Raises:
        ValueError: The number is not positive and finite.
    """
    if not 0 < real < math.inf:
        raise ValueError(f"{real} is not a positive number")
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(math.ldexp(fraction, MANTISSA_BITS) + 0.5)
    if mantissa == 1 << MANTISSA_BITS:
        mantissa, exponent = mantissa >> 1, exponent + 1
    return Scale(mantissa, exponent)


@dataclass(frozen=True, slots=True)
class LearningRate:
    """``mantissa * 2**(exponent - 15)``, as devices get it.

    Attributes:
        mantissa: Within [2**14, 2**15).
        exponent: Within int16.
    """

    mantissa: int
    exponent: int

    @classmethod
    def of(cls, real: float) -> "LearningRate":
        """The nearest learning rate that can be sent.

        Raises:
            ValueError: The number is not positive and finite.
        """
        if not 0 < real < math.inf:
            raise ValueError(f"a learning rate of {real} is not a positive number")
        fraction, exponent = math.frexp(real)
        mantissa = math.floor(math.ldexp(fraction, _LR_BITS) + 0.5)
        if mantissa == 1 << _LR_BITS:
            mantissa, exponent = mantissa >> 1, exponent + 1
        return cls(mantissa, exponent)

    @property
    def real(self) -> float:
        """The number it stands for."""
        return math.ldexp(self.mantissa, self.exponent - _LR_BITS)


def shift_round(values: Ints, shift: int, limit: int) -> Ints:
    """``values / 2**shift`` to nearest, ties upwards, within ``+-limit``.

    Args:
        values: int64, magnitudes below 2**61.
        shift: Any; a negative one multiplies, and saturates instead of overflowing.
        limit: Positive, below 2**61.

    Returns:
        int64 of the same shape.
    """
    if shift > _LARGEST_SHIFT:
        return np.zeros_like(values)
    if shift > 0:
        rounded: Ints = np.clip((values + (1 << (shift - 1))) >> shift, -limit, limit)
        return rounded
    most = 0 if shift < -_LARGEST_SHIFT else limit >> -shift
    inside = np.clip(values, -most, most) << min(-shift, _LARGEST_SHIFT)
    return np.where(np.abs(values) > most, np.sign(values) * limit, inside)
