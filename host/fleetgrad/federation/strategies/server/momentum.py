# SPDX-License-Identifier: Apache-2.0
"""Server momentum, FedAvgM (Hsu et al., 2019, arXiv 1909.06335)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fleetgrad.federation.strategies.server.moments import Moments, Reals
from fleetgrad.federation.strategies.server.optimiser import ServerOptimiser
from fleetgrad.settings import Range


@dataclass(frozen=True)
class FedAvgM(ServerOptimiser):
    """v = decay * v + change; the model moves by rate * v.

    Attributes:
        rate: With a decay of 0, 1 is FedAvg.
        decay: Of the momentum. In the long run a change counts 1 / (1 - decay) times.
    """

    name: ClassVar[str] = "fedavgm"

    rate: float = field(default=1.0, metadata={"check": Range(2.0**-20, 2.0**10)})
    decay: float = field(default=0.9, metadata={"check": Range(0.0, 0.9999)})

    def begin(self, count: int) -> Moments:
        """See `ServerOptimiser.begin`."""
        return Moments(np.zeros(count), np.zeros(0))

    def step(self, state: Moments, change: Reals) -> tuple[Moments, Reals]:
        """See `ServerOptimiser.step`."""
        first = self.decay * state.first + change
        return Moments(first, state.second), self.rate * first
