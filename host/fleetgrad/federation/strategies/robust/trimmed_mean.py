# SPDX-License-Identifier: Apache-2.0
"""The coordinate-wise trimmed mean (Yin et al., ICML 2018, arXiv 1803.01498)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.cohort import Cohort
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import quotient


@dataclass(frozen=True)
class TrimmedMean(Rule):
    """Each parameter changes by the mean without its f largest and its f smallest values.

    Withstands fewer than half: n >= 2f + 1. Unweighted, as a sample count would let a device
    decide how much is trimmed. Time O(d n log n), memory one block. Exact but for one rounding.
    """

    name: ClassVar[str] = "trimmed-mean"
    title: ClassVar[str] = "the trimmed mean"

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return 2 * attackers + 1

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        kept = slice(self.attackers, cohort.size - self.attackers)
        change = np.empty(cohort.count, np.int64)
        for where, block in cohort.blocks():
            total = np.sort(block, axis=0)[kept].sum(axis=0)
            change[where] = quotient(total, (cohort.size - 2 * self.attackers) * cohort.scale)
        return change
