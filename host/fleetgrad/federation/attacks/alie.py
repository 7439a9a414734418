# SPDX-License-Identifier: Apache-2.0
"""A little is enough (Baruch et al., NeurIPS 2019, arXiv 1902.06156)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fleetgrad.federation.attacks.craft import Reals


def most_deviation(devices: int, attackers: int) -> float:
    """z_max: so many standard deviations still have enough honest devices beyond them.

    z_max = sup { z : Phi(z) < (n - f - s) / (n - f) },  s = floor(n / 2 + 1) - f supporters.
    """
    supporters = math.floor(devices / 2 + 1) - attackers
    share = (devices - attackers - supporters) / (devices - attackers)
    return NormalDist().inv_cdf(min(max(share, 0.01), 0.99))


@dataclass(frozen=True)
class Little:
    """All attackers send the honest mean less a few standard deviations, in every parameter.

    Attributes:
        deviations: How many; None for `most_deviation`.
    """

    deviations: float | None = None

    def __call__(self, honest: Reals, own: Reals) -> Reals:
        """See `Attack`."""
        z = self.deviations
        if z is None:
            z = most_deviation(len(honest) + len(own), len(own))
        crafted = honest.mean(axis=0) - z * honest.std(axis=0, ddof=1)
        return np.tile(crafted, (len(own), 1))
