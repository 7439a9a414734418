# SPDX-License-Identifier: Apache-2.0
"""From rows to one row of 2^-16 units: exact quotients, and sums in an order that is fixed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import RoundError
from fleetgrad.federation.exact import divide
from fleetgrad.federation.model import FRACTION_BITS
from fleetgrad.federation.strategies.robust.cohort import INT64, Cohort, Integers

MOST_WEIGHT_BITS = 30
LARGEST_CHANGE = INT64 >> (FRACTION_BITS + 1)
Reals = NDArray[np.float64]


def quotient(total: NDArray[np.int64], divisor: int) -> NDArray[np.int64]:
    """Total / divisor in units of 2^-16: to nearest, ties away from zero.

    Raises:
        RoundError: One does not fit: no parameter is ever so large.
    """
    if np.abs(total // divisor).max(initial=0) >= LARGEST_CHANGE:
        raise RoundError("an update is too large to be applied in 64 bits")
    return divide(total, divisor, FRACTION_BITS)


def weighted(cohort: Cohort, weights: NDArray[np.int64], divisor: int) -> NDArray[np.int64]:
    """The sum of rows times integers, divided, in units of 2^-16.

    Args:
        cohort: The rows.
        weights: int64, one for each row.
        divisor: At least 1.

    Raises:
        RoundError: The sum could leave 64 bits.
    """
    if int(np.abs(weights).sum()) * cohort.largest >= INT64:
        raise RoundError("updates are too large to sum exactly in 64 bits")
    total = np.empty(cohort.count, np.int64)
    for where, block in cohort.blocks():
        total[where] = weights @ block
    return quotient(total, divisor * cohort.scale)


def combined(cohort: Cohort, weights: Reals) -> NDArray[np.int64]:
    """The sum of rows times real numbers, in units of 2^-16.

    Weights are rounded to multiples of 2^-30, or coarser where sums would leave 64 bits otherwise;
    from there on everything is exact.

    Args:
        cohort: The rows.
        weights: float64, one for each row; finite.

    Raises:
        RoundError: They are not, or too large for any unit.
    """
    if not np.isfinite(weights).all():
        raise RoundError("a weight that is not a number")
    ceiling = sum(int(np.ceil(abs(weight))) for weight in weights.tolist()) + 1
    bits = min(MOST_WEIGHT_BITS, 62 - (ceiling * cohort.largest).bit_length())
    if bits < 1:
        raise RoundError("updates are too large to sum exactly in 64 bits")
    return weighted(cohort, np.rint(weights * float(1 << bits)).astype(np.int64), 1 << bits)


def mean_of(cohort: Cohort, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The mean of some rows, in units of 2^-16, exact but for its last rounding."""
    weights = np.zeros(cohort.size, np.int64)
    weights[rows] = 1
    return weighted(cohort, weights, len(rows))


def ordered_sum(terms: Reals) -> Reals:
    """Sums over the first axis, first to last: floats added in another order come out otherwise."""
    total = np.zeros(terms.shape[1:])
    for term in terms:
        total = total + term
    return total


def squared_distances(gram: Integers) -> Integers:
    """Of all pairs of rows, exact."""
    squares = np.diagonal(gram)
    distances: Integers = squares[:, np.newaxis] + squares - 2 * gram
    return distances


def norms(gram: Integers) -> Reals:
    """Euclidean norms of the rows."""
    return np.sqrt(np.diagonal(gram).astype(np.float64))


def middle(values: Reals) -> float:
    """The median of some numbers: the lower of the two in the middle, where there are two."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def cosines(gram: Integers) -> Reals:
    """Of the angles of all pairs of rows; 0 with a row of zeros."""
    lengths = norms(gram)
    lengths[lengths == 0.0] = np.inf
    return gram.astype(np.float64) / lengths[:, np.newaxis] / lengths
