# SPDX-License-Identifier: Apache-2.0
"""Which devices take part in a round: the same ones whenever and wherever it is asked."""

import hashlib
import math
from collections.abc import Iterable


def select(
    devices: Iterable[int], number: int, *, seed: int, fraction: float, least: int
) -> tuple[int, ...]:
    """Draws a share of the devices without replacement.

    Args:
        devices: Candidates; their order does not matter.
        number: The round.
        seed: Of the run.
        fraction: Share to draw, rounded up.
        least: Draw at least so many, as far as there are.

    Returns:
        Device ids, ascending.
    """
    candidates = sorted(set(devices))
    wanted = min(len(candidates), max(least, math.ceil(fraction * len(candidates))))

    def ticket(device: int) -> bytes:
        return hashlib.sha256(f"select/{seed}/{number}/{device}".encode()).digest()

    return tuple(sorted(sorted(candidates, key=ticket)[:wanted]))
