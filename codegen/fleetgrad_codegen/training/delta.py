# SPDX-License-Identifier: Apache-2.0
"""The update that a device sends: int8 times a power of two per segment; mirrors ``delta.c``."""

import numpy as np
import numpy.typing as npt

from fleetgrad_codegen.training.fixed_point import Ints


def exponent_of(delta: Ints) -> int:
    """Smallest shift that brings the largest magnitude to int8; 0 for an empty segment."""
    peak = int(np.abs(delta).max(initial=0))
    return max(0, peak.bit_length() - 7)


def quantise(delta: Ints, exponent: int) -> npt.NDArray[np.int8]:
    """``delta / 2**exponent``, to nearest, ties away from zero, within ``+-127``.

    Args:
        delta: Parameters minus base, int64.
        exponent: As from `exponent_of`.

    Returns:
        int8 of the same shape.
    """
    half = (1 << exponent) >> 1
    size = np.minimum((np.abs(delta) + half) >> exponent, 127)
    quantised: npt.NDArray[np.int8] = (np.sign(delta) * size).astype(np.int8)
    return quantised


def restore(values: npt.NDArray[np.int8], exponent: int) -> Ints:
    """What the server reads: ``values * 2**exponent``, int64 of the same shape."""
    restored: Ints = values.astype(np.int64) << exponent
    return restored
