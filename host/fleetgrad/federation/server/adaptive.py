# SPDX-License-Identifier: Apache-2.0
"""FedAdagrad, FedAdam and FedYogi (Reddi et al., ICLR 2021, arXiv 2003.00295, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fleetgrad.federation.server.moments import Moments, Reals

SecondMoment = Callable[[Reals, Reals, float], Reals]
"""From v, the squared change and beta2 to the next v."""


def adagrad(second: Reals, square: Reals, beta2: float) -> Reals:
    """V = v + change^2."""
    del beta2
    return second + square


def adam(second: Reals, square: Reals, beta2: float) -> Reals:
    """V = beta2 v + (1 - beta2) change^2."""
    return beta2 * second + (1.0 - beta2) * square


def yogi(second: Reals, square: Reals, beta2: float) -> Reals:
    """V = v - (1 - beta2) change^2 sign(v - change^2)."""
    return second - (1.0 - beta2) * square * np.sign(second - square)


@dataclass(frozen=True)
class Adaptive:
    """The server's learning rate divided by how much each parameter usually changes.

    m = beta1 m + (1 - beta1) change, then v by one of the rules above; the model moves by rate * m
    / (sqrt(v) + tau). There is no bias correction, as in the paper; v begins at tau^2.

    Attributes:
        rule: What becomes of v.
        rate: Of the server, in real units of weights: a step of one parameter is about so large.
        beta1: Memory of changes.
        beta2: Memory of squares; FedAdagrad forgets nothing and does not read it.
        tau: Degree of adaptivity: changes far below it count as they are.
    """

    rule: SecondMoment
    rate: float
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    def begin(self, count: int) -> Moments:
        """What is remembered before the first round."""
        return Moments.empty(count, self.tau * self.tau)

    def step(self, state: Moments, change: Reals) -> tuple[Moments, Reals]:
        """The next moments, and how far the model moves.

        Args:
            state: After the round before.
            change: Mean of the updates, in real units.
        """
        first = self.beta1 * state.first + (1.0 - self.beta1) * change
        second = self.rule(state.second, change * change, self.beta2)
        return Moments(first, second), self.rate * first / (np.sqrt(second) + self.tau)
