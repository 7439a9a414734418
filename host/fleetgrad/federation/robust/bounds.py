# SPDX-License-Identifier: Apache-2.0
"""Limits to what one update may be: its norm, its exponents, its number of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.robust.centred_clipping import shorten
from fleetgrad.federation.robust.cohort import Cohort
from fleetgrad.federation.robust.rule import check
from fleetgrad.federation.robust.sums import combined, middle, norms


@dataclass(frozen=True)
class NormBound:
    """The mean of updates that are shortened to a norm (Sun et al., 2019, arXiv 1911.07963).

    An attacker moves the result by at most bound / n; with the median norm as the bound, n >= 2f +
    1 keeps them from choosing it. Directions are not looked at, so f of n devices still pull with
    f / n of the strength. Unweighted. Time O(d n^2) (norms come from the Gram matrix), memory one
    block and n^2 numbers.

    Attributes:
        bound: In units of parameters; 0 for the median of the norms.
    """

    bound: float = 0.0
    title: ClassVar[str] = "the norm bound"

    def least(self, attackers: int) -> int:
        """See `Rule.least`."""
        return 2 * attackers + 1

    def __call__(self, cohort: Cohort, attackers: int) -> NDArray[np.int64]:
        """See `Rule`."""
        check(self, cohort, attackers)
        lengths = norms(cohort.gram)
        factors = shorten(lengths, self.bound * cohort.scale or middle(lengths))
        return combined(cohort, factors / cohort.size)


def within(
    exponents: Sequence[tuple[int, ...]], slack: int, *, limit: int | None = None
) -> tuple[int, ...]:
    """Rows whose exponents do not exceed those of the others by much.

    int8 deltas are bounded; the exponent is what an attacker has left to shout with. One more
    doubles an update. With fewer than half of the rows from attackers the (lower) median is at most
    an honest exponent.

    Args:
        exponents: Of every row, one for each segment.
        slack: Above the (lower) median of a segment.
        limit: No exponent above this counts, whatever the median; None for no such limit.

    Returns:
        Rows, ascending.
    """
    if not exponents:
        return ()
    limits = []
    for column in zip(*exponents, strict=True):
        most = sorted(column)[(len(column) - 1) // 2] + slack
        limits.append(most if limit is None else min(most, limit))
    return tuple(
        row
        for row, found in enumerate(exponents)
        if all(exponent <= most for exponent, most in zip(found, limits, strict=True))
    )


def capped(samples: int, cap: int) -> int:
    """The weight of an update in a mean: its samples, as far as they are believed.

    Args:
        samples: What the device says.
        cap: At most so many count; 0 for all.
    """
    return min(samples, cap) if cap else samples
