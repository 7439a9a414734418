# SPDX-License-Identifier: Apache-2.0
"""FedNova: means of what devices change per local step (Wang et al., NeurIPS 2020).

With n_k samples and t_k local steps of device k, and p_k = n_k / sum n:

    change = t_eff * sum_k p_k * delta_k / t_k        t_eff = sum_k p_k * t_k

(arXiv 2007.07481, equation 10, for local SGD without momentum). In integers: weights w_k are
n_k / t_k in 2^-20, to nearest; sums of w_k * delta_k, n_k and n_k * t_k are exact and commute.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.model import FRACTION_BITS

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
