# SPDX-License-Identifier: Apache-2.0
"""The coordinate-wise trimmed mean (Yin et al., ICML 2018, arXiv 1803.01498)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.robust.cohort import Cohort
from fleetgrad.federation.robust.rule import check
from fleetgrad.federation.robust.sums import quotient


@dataclass(frozen=True)
class TrimmedMean:
    """Each parameter changes by the mean without its f largest and its f smallest values.

    Withstands fewer than half: n >= 2f + 1. Unweighted, as a sample count would let a device
    decide how much is trimmed. Time O(d n log n), memory one block. Exact but for one rounding.
    """

    title: ClassVar[str] = "the trimmed mean"

    def least(self, attackers: int) -> int:
        """See `Rule.least`."""
        return 2 * attackers + 1

    def __call__(self, cohort: Cohort, attackers: int) -> NDArray[np.int64]:
        """See `Rule`."""
        check(self, cohort, attackers)
        kept = slice(attackers, cohort.size - attackers)
        change = np.empty(cohort.count, np.int64)
        for where, block in cohort.blocks():
            total = np.sort(block, axis=0)[kept].sum(axis=0)
            change[where] = quotient(total, (cohort.size - 2 * attackers) * cohort.scale)
        return change
