# SPDX-License-Identifier: Apache-2.0
"""Clustering with clipping (Li et al., IEEE Trans. Big Data 2024, arXiv 2208.08085)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.centred_clipping import shorten
from fleetgrad.federation.strategies.robust.cohort import Cohort
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import Reals, combined, cosines, middle, norms


def two_clusters(distances: Reals) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Merges the nearest two clusters until two are left; average linkage.

    Args:
        distances: [n, n], symmetric; n at least 2.

    Returns:
        Rows of the larger cluster and of the other; of equal ones that with row 0 first.
    """
    members: list[tuple[int, ...]] = [(row,) for row in range(len(distances))]
    between = distances.astype(np.float64)
    np.fill_diagonal(between, np.inf)
    while len(members) > 2:
        first, second = sorted(divmod(int(np.argmin(between)), len(between)))
        sizes = len(members[first]), len(members[second])
        merged = (sizes[0] * between[first] + sizes[1] * between[second]) / sum(sizes)
        merged[first] = np.inf
        between[first], between[:, first] = merged, merged
        between = np.delete(np.delete(between, second, axis=0), second, axis=1)
        members[first] = tuple(sorted(members[first] + members[second]))
        del members[second]
    one, other = sorted(members, key=lambda rows: (-len(rows), rows))
    return one, other


@dataclass(frozen=True)
class Clustering(Rule):
    """Splits updates in two by their angles, and takes the mean of the larger part, clipped.

    Norms are clipped to their median. Withstands fewer than half, n >= 2f + 1, as far as attackers
    point elsewhere than the others or not far; there is no proof. With less than three updates
    there is nothing to split. Unweighted. Time O(d n^2 + n^3), memory one block and n^2 numbers.
    float64 for the weights, exact from there.
    """

    name: ClassVar[str] = "clustering"
    title: ClassVar[str] = "clustering"

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return max(3, 2 * attackers + 1)

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        gram = cohort.gram
        kept, _ = two_clusters(1.0 - cosines(gram))
        lengths = norms(gram)
        weights = np.zeros(cohort.size)
        rows = list(kept)
        weights[rows] = shorten(lengths[rows], middle(lengths)) / len(rows)
        return combined(cohort, weights)
