# SPDX-License-Identifier: Apache-2.0
"""The mean of updates whose norm is bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.centred_clipping import shorten
from fleetgrad.federation.strategies.robust.cohort import Cohort
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import combined, middle, norms
from fleetgrad.settings import Range


@dataclass(frozen=True)
class NormBound(Rule):
    """The mean of updates that are shortened to a norm (Sun et al., 2019, arXiv 1911.07963).

    An attacker moves the result by at most bound / n; with the median norm as the bound, n >= 2f +
    1 keeps them from choosing it. Directions are not looked at, so f of n devices still pull with
    f / n of the strength. Unweighted. Time O(d n^2) (norms come from the Gram matrix), memory one
    block and n^2 numbers.

    Attributes:
        bound: In units of parameters; 0 for the median of the norms.
    """

    name: ClassVar[str] = "norm-bound"
    title: ClassVar[str] = "the norm bound"

    bound: float = field(default=0.0, metadata={"check": Range(0.0, 2.0**40)})

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return 2 * attackers + 1

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        lengths = norms(cohort.gram)
        factors = shorten(lengths, self.bound * cohort.scale or middle(lengths))
        return combined(cohort, factors / cohort.size)
