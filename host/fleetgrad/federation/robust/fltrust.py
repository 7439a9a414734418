# SPDX-License-Identifier: Apache-2.0
"""FLTrust (Cao et al., NDSS 2021, arXiv 2012.13995)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import RoundError
from fleetgrad.federation.robust.cohort import Cohort
from fleetgrad.federation.robust.rule import check
from fleetgrad.federation.robust.sums import combined, cosines, norms, ordered_sum


@dataclass(frozen=True)
class FLTrust:
    """Updates are brought to the length of a trusted one and count by their angle to it.

    The trusted update is that of a device in the operator's own hands, with a few samples of its
    own: it is asked in each round as all others. Weights are max(0, cosine).

    Withstands any number of attackers, as far as the trusted samples are like everybody's; where
    they are not, devices that learn something else count as attackers. The trusted device itself
    counts with the cosine 1. Time O(d n^2), memory one block and n^2 numbers. float64 for the
    weights, exact from there.

    Attributes:
        root: Row of the trusted update; None where it has not come.
    """

    root: int | None
    title: ClassVar[str] = "FLTrust"

    def least(self, attackers: int) -> int:
        """See `Rule.least`."""
        return 1 + (attackers > 0)

    def __call__(self, cohort: Cohort, attackers: int) -> NDArray[np.int64]:
        """See `Rule`; a trusted update that has not come is refused by name."""
        check(self, cohort, attackers)
        if self.root is None:
            raise RoundError(
                "the trusted device has sent no update",
                where="strategy.root",
                expected="its update in every round",
                hint="see fleetgrad log for what it said; rounds.fraction = 1 asks everybody",
            )
        gram = cohort.gram
        trust = np.maximum(cosines(gram)[self.root], 0.0)
        lengths = norms(gram)
        total = float(ordered_sum(trust))
        if lengths[self.root] == 0.0 or total == 0.0:
            return np.zeros(cohort.count, np.int64)  # it has learned nothing: nothing to go by
        lengths[lengths == 0.0] = np.inf
        return combined(cohort, trust / total * (lengths[self.root] / lengths))
