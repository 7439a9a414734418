# SPDX-License-Identifier: Apache-2.0
"""FedNova: means of what devices change per local step (Wang et al., NeurIPS 2020).

With n_k samples and t_k local steps of device k, and p_k = n_k / sum n:

    change = t_eff * sum_k p_k * delta_k / t_k        t_eff = sum_k p_k * t_k

(arXiv 2007.07481, equation 10, for local SGD without momentum). In integers: weights w_k are
n_k / t_k in 2^-20, to nearest; sums of w_k * delta_k, n_k and n_k * t_k are exact and commute.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import RoundError
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import FRACTION_BITS, GlobalModel
from fleetgrad.federation.partial import PartialSum
from fleetgrad.federation.strategies.base import Averaging, Next
from fleetgrad.settings import Range

WEIGHT_BITS: Final = 20


def local_steps(samples: int, *, epochs: int, batch: int, most: int) -> int:
    """Updates that a device has made in a round.

    Args:
        samples: Training samples that it has.
        epochs: Passes.
        batch: Samples of a step; the last one of a pass takes what is left.
        most: Steps at most; 0 for no limit.
    """
    steps = epochs * -(-samples // batch)
    return min(steps, most) if most else steps


def nova_weights(samples: int, steps: int) -> tuple[int, int, int]:
    """w_k, n_k and n_k * t_k of a device.

    Args:
        samples: At least 1.
        steps: At least 1.
    """
    weight = ((samples << (WEIGHT_BITS + 1)) + steps) // (2 * steps)
    return weight, samples, samples * steps


def nova_change(sums: NDArray[np.int64], samples: int, samples_steps: int) -> NDArray[np.int64]:
    """The change of the model in units of 2^-16.

    Args:
        sums: Of w_k * delta_k.
        samples: Sum of n_k.
        samples_steps: Sum of n_k * t_k.

    Returns:
        sums * samples_steps / (2^20 * samples^2) in 2^-16, to nearest, ties away from zero.
    """
    divisor = samples * samples << (WEIGHT_BITS - FRACTION_BITS)
    return np.array(
        [_quotient(value * samples_steps, divisor) for value in sums.tolist()], np.int64
    )


def _quotient(value: int, divisor: int) -> int:
    """To nearest, ties away from zero."""
    size = (2 * abs(value) + divisor) // (2 * divisor)
    return size if value >= 0 else -size


@dataclass(frozen=True)
class FedNova(Averaging):
    """See above. Where all devices take equally many steps it is FedAvg.

    Attributes:
        cap: At most so many samples of a device count, whatever it says; 0: all.
        epochs: As ``train.epochs``; 0: that.
        batch: As ``train.batch``; 0: that.
        max_steps: As ``train.max_steps``; with ``epochs`` 0: that.
    """

    name: ClassVar[str] = "fednova"
    numbers: ClassVar[int] = 3

    cap: int = field(default=0, metadata={"check": Range(0, 65535)})
    epochs: int = field(default=0, metadata={"check": Range(0, 65535)})
    batch: int = field(default=0, metadata={"check": Range(0, 1024)})
    max_steps: int = field(default=0, metadata={"check": Range(0, 2**32 - 1)})

    def under(self, *, epochs: int, batch: int, max_steps: int) -> Self:
        """See `Averaging.under`: options that are given count more than the run's."""
        if self.epochs:
            max_steps = self.max_steps
        return replace(
            self, epochs=self.epochs or epochs, batch=self.batch or batch, max_steps=max_steps
        )

    def weigh(self, facts: Facts) -> tuple[int, ...]:
        """See `nova_weights`."""
        steps = local_steps(
            facts.samples, epochs=self.epochs, batch=self.batch, most=self.max_steps
        )
        samples = min(facts.samples, self.cap) if self.cap else facts.samples
        return nova_weights(samples, steps)

    def finish(self, model: GlobalModel, total: PartialSum, memory: bytes) -> Next:
        """See `nova_change`.

        Raises:
            RoundError: There is no update.
        """
        del memory
        _, samples, samples_steps = total.weights
        if not samples:
            raise RoundError("there is no update to average")
        change = nova_change(total.sums, samples, samples_steps)
        return Next(replace(model, values=model.values + change))
