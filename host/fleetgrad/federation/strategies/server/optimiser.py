# SPDX-License-Identifier: Apache-2.0
"""What all server optimisers share: the exact mean, made real, goes through a step; and back."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace

from fleetgrad.errors import RoundError
from fleetgrad.federation.exact import divide
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import FRACTION_BITS, GlobalModel
from fleetgrad.federation.partial import PartialSum
from fleetgrad.federation.strategies.base import Averaging, Next
from fleetgrad.federation.strategies.server.moments import Moments, Reals, fixed, real
from fleetgrad.settings import Range


@dataclass(frozen=True)
class ServerOptimiser(Averaging):
    """Takes the mean of the updates for a gradient.

    What it remembers is in real units, so that activation scales may grow in between.

    Attributes:
        cap: At most so many samples of a device count, whatever it says; 0: all.
    """

    cap: int = field(default=0, metadata={"check": Range(0, 65535)})

    @abstractmethod
    def begin(self, count: int) -> Moments:
        """What is remembered before the first round."""

    @abstractmethod
    def step(self, state: Moments, change: Reals) -> tuple[Moments, Reals]:
        """The next moments, and how far the model moves.

        Args:
            state: After the round before.
            change: Mean of the updates, in real units.
        """

    @property
    def by_samples(self) -> bool:
        """Where it believes every device."""
        return not self.cap

    def weigh(self, facts: Facts) -> tuple[int, ...]:
        """By samples, as far as they are believed."""
        return (min(facts.samples, self.cap) if self.cap else facts.samples,)

    def finish(self, model: GlobalModel, total: PartialSum, memory: bytes) -> Next:
        """See `Averaging.finish`.

        Raises:
            RoundError: There is no update, or the step leaves all bounds.
            BundleError: The bundle does not say what units stand for.
        """
        if not total.weights[0]:
            raise RoundError("there is no update to average")
        units, count = model.real_units(), model.layout.count
        mean = real(divide(total.sums, total.weights[0], FRACTION_BITS), units)
        state = Moments.from_bytes(memory, count) if memory else self.begin(count)
        state, move = self.step(state, mean)
        made = replace(model, values=model.values + fixed(move, units))
        return Next(made, state.to_bytes())
