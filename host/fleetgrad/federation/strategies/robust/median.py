# SPDX-License-Identifier: Apache-2.0
"""The coordinate-wise median (Yin et al., ICML 2018, arXiv 1803.01498)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.cohort import Cohort
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import quotient


@dataclass(frozen=True)
class Median(Rule):
    """Each parameter changes by the median over the devices, or the mean of the middle two.

    Withstands fewer than half: n >= 2f + 1. Unweighted: who lies about deltas lies about samples
    as well. Time O(d n), memory one block. Exact. Where devices' data differ much, the median of
    many small opposite changes is near zero, and learning slows down.
    """

    name: ClassVar[str] = "median"
    title: ClassVar[str] = "the median"

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return 2 * attackers + 1

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        low, high = (cohort.size - 1) // 2, cohort.size // 2
        change = np.empty(cohort.count, np.int64)
        for where, block in cohort.blocks():
            ordered = np.partition(block, (low, high), axis=0)
            change[where] = quotient(ordered[low] + ordered[high], 2 * cohort.scale)
        return change
