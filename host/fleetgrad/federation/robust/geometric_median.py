# SPDX-License-Identifier: Apache-2.0
"""The geometric median by smoothed Weiszfeld steps (Pillutla et al., 2022, arXiv 1912.13445)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.robust.cohort import Cohort
from fleetgrad.federation.robust.rule import check
from fleetgrad.federation.robust.sums import Reals, combined, ordered_sum


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
class GeometricMedian:
    """The point with the smallest sum of distances to all updates, nearly.

    Starting at no change, each step is a mean with weights 1 / max(nu, distance).

    Withstands fewer than half: n >= 2f + 1. Unweighted, so that a sample count is no lever. Time
    O(d n^2), memory one block and n^2 numbers. float64 for the weights, exact from there.

    Attributes:
        steps: How many.
        nu: Smoothing, in units of parameters; keeps weights finite at an update itself.
    """

    steps: int = 16
    nu: float = 1.0
    title: ClassVar[str] = "the geometric median"

    def least(self, attackers: int) -> int:
        """See `Rule.least`."""
        return 2 * attackers + 1

    def __call__(self, cohort: Cohort, attackers: int) -> NDArray[np.int64]:
        """See `Rule`."""
        check(self, cohort, attackers)
        gram = cohort.gram.astype(np.float64)
        weights = np.zeros(cohort.size)
        for _ in range(self.steps):
            near = 1.0 / np.maximum(distances_to(gram, weights), self.nu * cohort.scale)
            weights = near / ordered_sum(near)
        return combined(cohort, weights)
