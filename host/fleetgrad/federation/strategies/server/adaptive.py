# SPDX-License-Identifier: Apache-2.0
"""FedAdagrad, FedAdam and FedYogi (Reddi et al., ICLR 2021, arXiv 2003.00295, Algorithm 2)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fleetgrad.federation.strategies.server.moments import Moments, Reals
from fleetgrad.federation.strategies.server.optimiser import ServerOptimiser
from fleetgrad.settings import Range


@dataclass(frozen=True)
class Adaptive(ServerOptimiser):
    """The server's learning rate divided by how much each parameter usually changes.

    m = beta1 m + (1 - beta1) change, then v by the rule of the subclass; the model moves by rate *
    m / (sqrt(v) + tau). There is no bias correction, as in the paper; v begins at tau^2.

    Attributes:
        rate: Of the server, in real units: a step of a parameter is about so large.
        beta1: Memory of changes.
        beta2: Memory of squares; FedAdagrad forgets nothing and does not read it.
        tau: Degree of adaptivity: changes far below it count as they are.
    """

    rate: float = field(default=0.1, metadata={"check": Range(2.0**-30, 2.0**10)})
    beta1: float = field(default=0.9, metadata={"check": Range(0.0, 0.9999)})
    beta2: float = field(default=0.99, metadata={"check": Range(0.0, 0.9999)})
    tau: float = field(default=1e-3, metadata={"check": Range(2.0**-30, 1.0)})

    @abstractmethod
    def second(self, second: Reals, square: Reals) -> Reals:
        """The next v, from v and the squares of the changes."""

    def begin(self, count: int) -> Moments:
        """See `ServerOptimiser.begin`."""
        return Moments(np.zeros(count), np.full(count, self.tau * self.tau))

    def step(self, state: Moments, change: Reals) -> tuple[Moments, Reals]:
        """See `ServerOptimiser.step`."""
        first = self.beta1 * state.first + (1.0 - self.beta1) * change
        second = self.second(state.second, change * change)
        return Moments(first, second), self.rate * first / (np.sqrt(second) + self.tau)


@dataclass(frozen=True)
class FedAdagrad(Adaptive):
    """See `Adaptive`; squares add up."""

    name: ClassVar[str] = "fedadagrad"

    def second(self, second: Reals, square: Reals) -> Reals:
        """V = v + change^2."""
        return second + square


@dataclass(frozen=True)
class FedAdam(Adaptive):
    """See `Adaptive`; squares are forgotten."""

    name: ClassVar[str] = "fedadam"

    def second(self, second: Reals, square: Reals) -> Reals:
        """V = beta2 v + (1 - beta2) change^2."""
        return self.beta2 * second + (1.0 - self.beta2) * square


@dataclass(frozen=True)
class FedYogi(Adaptive):
    """See `Adaptive`; squares are forgotten no faster than new ones come."""

    name: ClassVar[str] = "fedyogi"

    def second(self, second: Reals, square: Reals) -> Reals:
        """V = v - (1 - beta2) change^2 sign(v - change^2)."""
        return second - (1.0 - self.beta2) * square * np.sign(second - square)
