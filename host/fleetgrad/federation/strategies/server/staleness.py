# SPDX-License-Identifier: Apache-2.0
"""Weights of updates made from an older version (FedBuff, Nguyen et al., AISTATS 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isqrt
from typing import ClassVar, Final

from fleetgrad.errors import RoundError
from fleetgrad.federation.exact import divide
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import FRACTION_BITS, GlobalModel
from fleetgrad.federation.partial import PartialSum
from fleetgrad.federation.strategies.base import Averaging, Next
from fleetgrad.settings import Range

UNIT: Final = 256
"""The weight of an update without delay."""

MOST: Final = 1023
"""Versions; the table ends here."""


def _weight(staleness: int) -> int:
    """256 / sqrt(1 + staleness), to nearest, in integers: r <= x + 1/2 where (2r - 1)^2 <= 4 x^2.

    With x^2 = 2^16 / (1 + staleness): 2r - 1 <= sqrt(2^18 / (1 + staleness)).
    """
    return (isqrt((1 << 18) // (1 + staleness)) + 1) // 2


TABLE: Final = tuple(_weight(staleness) for staleness in range(MOST + 1))
"""256, 181, 148, 128, 114, ...: by 1 / sqrt(1 + staleness), not 1 / (1 + sqrt(staleness))."""


def staleness_weight(staleness: int, bound: int) -> int:
    """The weight of an update in 1/256.

    Args:
        staleness: Versions between the one that was trained from and the present one.
        bound: An update that is staler counts for nothing; at most `MOST`.
    """
    assert staleness >= 0
    assert 0 <= bound <= MOST
    return TABLE[staleness] if staleness <= bound else 0


@dataclass(frozen=True)
class FedBuff(Averaging):
    """(1 / K) * sum of s(staleness) * change over K updates, s from the table: not over sum s.

    So what is stale makes the step smaller, too. Unweighted by samples, as in the paper. Where no
    update is stale it is the plain mean.

    Attributes:
        bound: A staler update counts for nothing, and is not one of the K.
    """

    name: ClassVar[str] = "fedbuff"
    numbers: ClassVar[int] = 2

    bound: int = field(default=20, metadata={"check": Range(0, MOST)})

    def weigh(self, facts: Facts) -> tuple[int, ...]:
        """The weight, and what it would be without delay; nothing for what is too stale."""
        weight = staleness_weight(facts.staleness, self.bound)
        return weight, UNIT if weight else 0

    def finish(self, model: GlobalModel, total: PartialSum, memory: bytes) -> Next:
        """See `Averaging.finish`.

        Raises:
            RoundError: There is no update, or none that is fresh enough.
        """
        del memory
        if not total.weights[1]:
            raise RoundError(
                "there is no update that is fresh enough",
                where="strategy.bound",
                expected=f"one no staler than {self.bound} versions",
            )
        mean = divide(total.sums, total.weights[1], FRACTION_BITS)
        return Next(replace(model, values=model.values + mean))
