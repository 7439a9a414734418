# SPDX-License-Identifier: Apache-2.0
"""FLTrust (Cao et al., NDSS 2021, arXiv 2012.13995)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import ConfigError, RoundError
from fleetgrad.federation.strategies.robust.cohort import Cohort
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import combined, cosines, norms, ordered_sum
from fleetgrad.settings import Range


@dataclass(frozen=True)
class FLTrust(Rule):
    """Updates are brought to the length of a trusted one and count by their angle to it.

    The trusted update is that of a device in the operator's own hands, with a few samples of its
    own: it is asked in each round as all others. Weights are max(0, cosine).

    Withstands any number of attackers, as far as the trusted samples are like everybody's; where
    they are not, devices that learn something else count as attackers. The trusted device itself
    counts with the cosine 1. Time O(d n^2), memory one block and n^2 numbers. float64 for the
    weights, exact from there.

    Attributes:
        root: Id of the trusted device.
    """

    name: ClassVar[str] = "fltrust"
    title: ClassVar[str] = "FLTrust"

    root: int = field(default=0, metadata={"check": Range(1, 2**63 - 1)})

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ConfigError: There is no root, or mixing, which would leave nothing to trust.
        """
        if not self.root:
            raise ConfigError(
                "FLTrust needs a device to trust", "strategy.root", "a device id, 1 or more"
            )
        if self.mixing:
            raise ConfigError(
                "mixing would replace the trusted update", "strategy.mixing", "false with FLTrust"
            )

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        del attackers
        return 2

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`; a trusted update that has not come is refused by name."""
        if self.root not in cohort.devices:
            raise RoundError(
                f"the trusted device {self.root} has sent no update",
                where="strategy.root",
                expected="its update in every round",
                hint="see fleetgrad log for what it said; rounds.fraction = 1 asks everybody",
            )
        root, gram = cohort.devices.index(self.root), cohort.gram
        trust = np.maximum(cosines(gram)[root], 0.0)
        lengths = norms(gram)
        total = float(ordered_sum(trust))
        if total == 0.0:
            return np.zeros(cohort.count, np.int64)  # it has learned nothing: nothing to go by
        trusted = float(lengths[root])
        lengths[lengths == 0.0] = np.inf
        return combined(cohort, trust / total * (trusted / lengths))
