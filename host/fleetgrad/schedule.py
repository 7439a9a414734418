# SPDX-License-Identifier: Apache-2.0
"""The learning rate of each round: constant, or falling as the run goes on, after a warm-up."""

import math
from dataclasses import dataclass

KINDS = ("constant", "cosine", "step")


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes over the rounds.

    Attributes:
        rate: The largest learning rate.
        kind: ``constant``; ``cosine``: half a cosine from the rate towards 0; ``step``: multiplied
            by ``decay`` every ``every`` rounds.
        rounds: Training rounds in all.
        warmup: Rounds over which the rate rises linearly to its height.
        decay: Of ``step``.
        every: Of ``step``; in rounds.
    """

    rate: float
    kind: str = "constant"
    rounds: int = 1
    warmup: int = 0
    decay: float = 0.5
    every: int = 10

    def at(self, number: int) -> float:
        """The learning rate of a round, counted from 1; after the last one, that of the last."""
        place = min(number, self.rounds) - 1
        rate = self.rate
        if self.kind == "cosine":
            rate *= 0.5 * (1.0 + math.cos(math.pi * place / self.rounds))
        elif self.kind == "step":
            rate *= self.decay ** (place // self.every)
        return rate * min(1.0, (place + 1) / (self.warmup + 1))
