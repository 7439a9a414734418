# SPDX-License-Identifier: Apache-2.0
"""Min-max, tailored to hide (Shejwalkar and Houmansadr, NDSS 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleetgrad.federation.attacks.craft import Reals

_STEPS = 40


@dataclass(frozen=True)
class MinMax:
    """As far from the honest mean as honest updates are from each other, against their deviation.

    All attackers send mean - gamma * std with the largest gamma for which no honest update is
    farther away than the two honest ones that are farthest apart.
    """

    def __call__(self, honest: Reals, own: Reals) -> Reals:
        """See `Attack`."""
        mean = honest.mean(axis=0)
        towards = -honest.std(axis=0)
        # |a - b|^2 = |a|^2 - 2 ab + |b|^2, about the mean so that little cancels
        centred = honest - mean
        inner = centred @ centred.T
        squares = np.diagonal(inner)
        widest = (squares[:, np.newaxis] + squares - 2.0 * inner).max()
        along = centred @ towards
        length = towards @ towards
        low, high = 0.0, 1.0
        while (squares - 2.0 * high * along + high * high * length).max() < widest and high < 1e6:
            high *= 2.0
        for _ in range(_STEPS):
            gamma = (low + high) / 2.0
            farthest = (squares - 2.0 * gamma * along + gamma * gamma * length).max()
            low, high = (gamma, high) if farthest <= widest else (low, gamma)
        return np.tile(mean + low * towards, (len(own), 1))
