# SPDX-License-Identifier: Apache-2.0
"""Server momentum, FedAvgM (Hsu et al., 2019, arXiv 1909.06335)."""

from __future__ import annotations

from fleetgrad.federation.server.moments import Moments, Reals


def momentum(state: Moments, change: Reals, *, rate: float, decay: float) -> tuple[Moments, Reals]:
    """V = decay * v + change; the model moves by rate * v.

    Args:
        state: ``first`` is v; ``second`` is not used.
        change: Mean of the updates, in real units.
        rate: 1 with a decay of 0 is FedAvg.
        decay: Of the momentum, 0 up to but not 1.
    """
    first = decay * state.first + change
    return Moments(first, state.second), rate * first
