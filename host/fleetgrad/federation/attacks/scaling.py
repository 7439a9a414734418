# SPDX-License-Identifier: Apache-2.0
"""The scaled update: one device tries to be the whole mean (Bagdasaryan et al., AISTATS 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from fleetgrad.federation.attacks.craft import Reals


@dataclass(frozen=True)
class Scaling:
    """Each attacker multiplies what it has learned, usually from poisoned samples.

    Attributes:
        factor: The number of devices replaces the model.
    """

    factor: float = 10.0

    def __call__(self, honest: Reals, own: Reals) -> Reals:
        """See `Attack`."""
        del honest
        return self.factor * own
