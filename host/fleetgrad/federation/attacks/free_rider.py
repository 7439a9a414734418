# SPDX-License-Identifier: Apache-2.0
"""The free rider: it takes the model and gives nothing (Lin et al., 2019, arXiv 1911.12560)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleetgrad.federation.attacks.craft import Reals


@dataclass(frozen=True)
class FreeRider:
    """Noise of the length of an honest update, or no change at all.

    Attributes:
        seed: Of the noise; None for no change.
    """

    seed: int | None = None

    def __call__(self, honest: Reals, own: Reals) -> Reals:
        """See `Attack`."""
        if self.seed is None:
            return np.zeros_like(own)
        noise = np.random.default_rng(self.seed).standard_normal(own.shape)
        length = np.median(np.linalg.norm(honest, axis=1))
        made: Reals = noise * (length / np.linalg.norm(noise, axis=1))[:, np.newaxis]
        return made
