# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on exact sums that never leaves 64 bits."""

import numpy as np
from numpy.typing import NDArray

WEIGHT_LIMIT = 1 << 62
"""Weights of a mean stay below this."""


def divide(total: NDArray[np.int64], weight: int, bits: int) -> NDArray[np.int64]:
    """round_half_away(total * 2^bits / weight), without a product that leaves 64 bits.

    Args:
        total: Any shape; the quotients times 2^bits must fit 63 bits.
        weight: 1 .. 2^62 - 1.
        bits: At least 0.

    Returns:
        int64, of the shape of ``total``.
    """
    assert 0 < weight < WEIGHT_LIMIT
    # |total| as unsigned: the most negative number has no positive one in int64.
    quotient, rest = np.divmod(np.abs(total).view(np.uint64), np.uint64(weight))
    at_once = 63 - weight.bit_length()  # so many more bits of a rest fit
    left = bits
    while left:
        step = min(left, at_once)
        more, rest = np.divmod(rest << np.uint64(step), np.uint64(weight))
        quotient = (quotient << np.uint64(step)) + more
        left -= step
    quotient += (rest >= np.uint64(weight) - rest).astype(np.uint64)
    magnitude = quotient.astype(np.int64)
    signed: NDArray[np.int64] = np.where(total < 0, -magnitude, magnitude)
    return signed
