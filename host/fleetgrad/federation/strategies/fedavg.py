# SPDX-License-Identifier: Apache-2.0
"""Federated averaging: the mean of the deltas, weighted by samples, in exact integers.

    G += round_half_away(S * 2^16 / W)    with S and W of `fleetgrad.federation.partial`, w_k = n_k

Integer sums commute, so neither the order of arrival nor the number of workers can matter.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from fleetgrad.errors import RoundError
from fleetgrad.federation.exact import divide
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import FRACTION_BITS, GlobalModel
from fleetgrad.federation.partial import PartialSum
from fleetgrad.federation.strategies.base import Averaging, Next


@dataclass(frozen=True)
class FedAvg(Averaging):
    """See above; it has no options."""

    name: ClassVar[str] = "fedavg"

    @property
    def by_samples(self) -> bool:
        """It does."""
        return True

    def weigh(self, facts: Facts) -> tuple[int, ...]:
        """By samples."""
        return (facts.samples,)

    def finish(self, model: GlobalModel, total: PartialSum, memory: bytes) -> Next:
        """Adds the mean.

        Raises:
            RoundError: There is no update.
        """
        del memory
        if not total.weights[0]:
            raise RoundError("there is no update to average")
        mean = divide(total.sums, total.weights[0], FRACTION_BITS)
        return Next(replace(model, values=model.values + mean))
