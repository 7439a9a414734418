# SPDX-License-Identifier: Apache-2.0
"""Krum and Multi-Krum (Blanchard et al., NeurIPS 2017)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.cohort import Cohort, Integers
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import mean_of, squared_distances
from fleetgrad.settings import Range


def scores(distances: Integers, neighbours: int) -> Integers:
    """Of every row, the sum of its smallest squared distances to others.

    Args:
        distances: Squared, [n, n].
        neighbours: How many of the others count, at least 0.
    """
    near: Integers = np.sort(distances, axis=1)[:, 1 : neighbours + 1]
    total: Integers = near.sum(axis=1)
    return total


def ranked(found: Integers) -> NDArray[np.int64]:
    """Rows by score, the smallest first; among equal ones the first row."""
    return np.argsort(found, kind="stable")


@dataclass(frozen=True)
class Krum(Rule):
    """The one update that is nearest to its n - f - 2 nearest others.

    Withstands n >= 2f + 3. It is one device's update, so it learns from nobody else: for data that
    differ from device to device take Multi-Krum. Time O(d n^2), memory one block and n^2 numbers.
    Exact.
    """

    name: ClassVar[str] = "krum"
    title: ClassVar[str] = "Krum"

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return 2 * attackers + 3

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        found = scores(squared_distances(cohort.gram), cohort.size - self.attackers - 2)
        return mean_of(cohort, ranked(found)[:1])


@dataclass(frozen=True)
class MultiKrum(Rule):
    """The mean of the m updates with the best Krum scores.

    Withstands n >= 2f + 3. Unweighted: a sample count would let an accepted lie count more. Time
    O(d n^2), memory one block and n^2 numbers. Exact but for one rounding.

    Attributes:
        keep: m; 0 for n - f - 2, the most that the proof covers.
    """

    name: ClassVar[str] = "multi-krum"
    title: ClassVar[str] = "Multi-Krum"

    keep: int = field(default=0, metadata={"check": Range(0, 65535)})

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return max(2 * attackers + 3, self.keep + attackers + 2)

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        neighbours = cohort.size - self.attackers - 2
        found = scores(squared_distances(cohort.gram), neighbours)
        return mean_of(cohort, ranked(found)[: self.keep or neighbours])
