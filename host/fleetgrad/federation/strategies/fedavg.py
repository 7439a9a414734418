# SPDX-License-Identifier: Apache-2.0
"""Federated averaging: the mean of the deltas, weighted by samples, in exact integers.

Every device k sends int8 deltas q and one exponent s for each segment, and has seen n samples:

    S = sum_k n_k * q_k * 2^s_k        W = sum_k n_k        G += round_half_away(S * 2^16 / W)

Integer sums commute, so neither the order of arrival nor the number of workers can matter.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Update
from fleetgrad.errors import RoundError
from fleetgrad.federation.model import FRACTION_BITS, GlobalModel

_INT64 = 1 << 63


def fedavg(model: GlobalModel, updates: Mapping[int, Update]) -> GlobalModel:
    """Averages updates into the next version.

    Args:
        model: The version that the devices trained from.
        updates: By device id; at least one.

    Raises:
        RoundError: When there is no update, or a sum could leave int64 (millions of devices with
            deltas as large as no training makes them).
    """
    if not updates:
        raise RoundError("there is no update to average")
    weight = sum(update.samples for update in updates.values())
    segments = model.layout.segments
    for index, (kind, _) in enumerate(segments):
        # The quotient by the weight is below 2^32, so this sum is all that could overflow.
        bound = sum(u.samples * 127 << u.exponents[index] for u in updates.values())
        if bound >= _INT64:
            raise RoundError(f"too many updates to sum a {kind} segment exactly in 64 bits")
    total = np.zeros(model.layout.count, np.int64)
    for update in updates.values():
        scale = np.repeat(
            [update.samples << exponent for exponent in update.exponents],
            [count for _, count in segments],
        )
        total += update.deltas * scale.astype(np.int64)
    return replace(model, values=model.values + _divide(total, weight))


def _divide(total: NDArray[np.int64], weight: int) -> NDArray[np.int64]:
    """round_half_away(total * 2^16 / weight), without a product that leaves 64 bits."""
    quotient, rest = np.divmod(np.abs(total), weight)
    fraction = ((rest << (FRACTION_BITS + 1)) + weight) // (2 * weight)
    return np.sign(total) * ((quotient << FRACTION_BITS) + fraction)
