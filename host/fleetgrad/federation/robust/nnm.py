# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour mixing before another rule (Allouah et al., AISTATS 2023, arXiv 2302.01772)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.robust.cohort import Cohort, Mixed
from fleetgrad.federation.robust.rule import Rule, check
from fleetgrad.federation.robust.sums import squared_distances


def mixed(cohort: Cohort, attackers: int) -> Mixed:
    """Each update replaced by the mean of the n - f nearest to it, itself among them.

    Of others equally far the first rows count.
    """
    near = np.argsort(squared_distances(cohort.gram), axis=1, kind="stable")
    return Mixed(cohort, np.sort(near[:, : cohort.size - attackers], axis=1))


@dataclass(frozen=True)
class Mixing:
    """Mixes, then applies a rule: the best known bound where devices' data differ.

    Withstands fewer than half, or what the rule behind it withstands. Unweighted. Time O(d n^2),
    memory one block and n^2 numbers, beside the rule's. Exact.

    Attributes:
        rule: Behind it.
    """

    rule: Rule

    @property
    def title(self) -> str:
        """See `Rule.title`."""
        return f"nearest-neighbour mixing with {self.rule.title}"

    def least(self, attackers: int) -> int:
        """See `Rule.least`."""
        return max(2 * attackers + 1, self.rule.least(attackers))

    def __call__(self, cohort: Cohort, attackers: int) -> NDArray[np.int64]:
        """See `Rule`."""
        check(self, cohort, attackers)
        return self.rule(mixed(cohort, attackers), attackers)
