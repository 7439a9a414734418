# SPDX-License-Identifier: Apache-2.0
"""Centred clipping (Karimireddy et al., ICML 2021, arXiv 2012.10333)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.cohort import Cohort
from fleetgrad.federation.strategies.robust.geometric_median import distances_to
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import Reals, combined, middle, ordered_sum
from fleetgrad.settings import Range


def shorten(distances: Reals, radius: float) -> Reals:
    """The factors that bring distances within a radius."""
    return radius / np.maximum(distances, max(radius, np.finfo(np.float64).tiny))


@dataclass(frozen=True)
class CentredClipping(Rule):
    """Means of differences to the present guess, each clipped to a radius; begins at no change.

    Whatever f devices send, they move a step's result by at most radius * f / n: an error that
    grows with f instead of a point of breakdown; the proof covers f / n up to about 1/10, and the
    median norm as the radius needs n >= 2f + 1. Unweighted. Time O(d n^2), memory one block and n^2
    numbers. float64 for the weights, exact from there.

    Attributes:
        radius: In units of parameters; 0 for the median of the distances, in each step.
        steps: How many.
    """

    name: ClassVar[str] = "centred-clipping"
    title: ClassVar[str] = "centred clipping"

    radius: float = field(default=0.0, metadata={"check": Range(0.0, 2.0**40)})
    steps: int = field(default=3, metadata={"check": Range(1, 1000)})

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return 2 * attackers + 1

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        gram = cohort.gram.astype(np.float64)
        weights = np.zeros(cohort.size)
        for _ in range(self.steps):
            distances = distances_to(gram, weights)
            factors = shorten(distances, self.radius * cohort.scale or middle(distances))
            # v + mean(c_i (x_i - v)) = (1 - mean(c)) v + mean(c_i x_i)
            stays = 1.0 - float(ordered_sum(factors)) / cohort.size
            weights = stays * weights + factors / cohort.size
        return combined(cohort, weights)
