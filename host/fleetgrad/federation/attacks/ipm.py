# SPDX-License-Identifier: Apache-2.0
"""Inner-product manipulation (Xie et al., UAI 2019, arXiv 1903.03936)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleetgrad.federation.attacks.craft import Reals


@dataclass(frozen=True)
class InnerProduct:
    """All attackers send the honest mean, backwards: small enough to pass, or large enough to win.

    Attributes:
        strength: How many means.
    """

    strength: float = 0.5

    def __call__(self, honest: Reals, own: Reals) -> Reals:
        """See `Attack`."""
        return np.tile(-self.strength * honest.mean(axis=0), (len(own), 1))
