# SPDX-License-Identifier: Apache-2.0
"""Bulyan over Krum (El Mhamdi et al., ICML 2018, arXiv 1802.07927)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.cohort import Chosen, Cohort, Integers
from fleetgrad.federation.strategies.robust.krum import ranked, scores
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import quotient, squared_distances


def choose(distances: Integers, wanted: int, attackers: int) -> tuple[int, ...]:
    """Rows that Krum picks one after the other, each time from those that are left.

    Args:
        distances: Squared, [n, n].
        wanted: How many.
        attackers: f.

    Returns:
        Rows, ascending.
    """
    left = list(range(len(distances)))
    chosen = []
    for _ in range(wanted):
        near = max(0, len(left) - attackers - 2)
        best = left[int(ranked(scores(distances[np.ix_(left, left)], near))[0])]
        left.remove(best)
        chosen.append(best)
    return tuple(sorted(chosen))


@dataclass(frozen=True)
class Bulyan(Rule):
    """Krum picks n - 2f updates; of these each parameter takes the n - 4f nearest to the median.

    Withstands n >= 4f + 3, in every single parameter, where Krum bounds only the distance.
    Unweighted, as Krum. Time O(d n^2 + n^3 log n), memory one block and n^2 numbers. Exact but for
    one rounding; of values equally far from the median the smaller one counts.
    """

    name: ClassVar[str] = "bulyan"
    title: ClassVar[str] = "Bulyan"

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return 4 * attackers + 3

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        wanted = cohort.size - 2 * self.attackers
        kept = wanted - 2 * self.attackers
        rows = choose(squared_distances(cohort.gram), wanted, self.attackers)
        change = np.empty(cohort.count, np.int64)
        for where, block in Chosen(cohort, rows).blocks():
            ordered = np.sort(block, axis=0)
            twice = ordered[(wanted - 1) // 2] + ordered[wanted // 2]
            nearest = np.argsort(np.abs(2 * ordered - twice), axis=0, kind="stable")[:kept]
            total = np.take_along_axis(ordered, nearest, axis=0).sum(axis=0)
            change[where] = quotient(total, kept * cohort.scale)
        return change
