# SPDX-License-Identifier: Apache-2.0
"""The geometric median by smoothed Weiszfeld steps (Pillutla et al., 2022, arXiv 1912.13445)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.cohort import Cohort
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import Reals, combined, ordered_sum
from fleetgrad.settings import Range


def distances_to(gram: Reals, weights: Reals) -> Reals:
    """From every row to the sum of rows times weights, in a fixed order of operations.

    Args:
        gram: [n, n].
        weights: [n].
    """
    inner = ordered_sum(gram * weights[:, np.newaxis])  # of the sum and each row
    square = ordered_sum(inner * weights)
    return np.sqrt(np.maximum(np.diagonal(gram) - 2.0 * inner + square, 0.0))


@dataclass(frozen=True)
class GeometricMedian(Rule):
    """The point with the smallest sum of distances to all updates, nearly.

    Starting at no change, each step is a mean with weights 1 / max(nu, distance).

    Withstands fewer than half: n >= 2f + 1. Unweighted, so that a sample count is no lever. Time
    O(d n^2), memory one block and n^2 numbers. float64 for the weights, exact from there.

    Attributes:
        steps: How many.
        nu: Smoothing, in units of parameters; keeps weights finite at an update itself.
    """

    name: ClassVar[str] = "geometric-median"
    title: ClassVar[str] = "the geometric median"

    steps: int = field(default=16, metadata={"check": Range(1, 1000)})
    nu: float = field(default=1.0, metadata={"check": Range(2.0**-20, 2.0**20)})

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return 2 * attackers + 1

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        gram = cohort.gram.astype(np.float64)
        weights = np.zeros(cohort.size)
        for _ in range(self.steps):
            near = 1.0 / np.maximum(distances_to(gram, weights), self.nu * cohort.scale)
            weights = near / ordered_sum(near)
        return combined(cohort, weights)
