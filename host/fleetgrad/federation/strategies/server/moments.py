# SPDX-License-Identifier: Apache-2.0
"""What server optimisers remember, and how exact means become real numbers and integers again.

Only + - * / and square roots in float64, element by element in a fixed order: IEEE 754 gives each
of these exactly one result, so every machine makes the same version.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import RoundError
from fleetgrad.federation.model import FRACTION_BITS

Reals = NDArray[np.float64]
_FRACTION = float(1 << FRACTION_BITS)
_LARGEST = float(1 << 62)


@dataclass(frozen=True, eq=False)
class Moments:
    """Moving averages, in real units; float64 [d].

    Attributes:
        first: Of changes.
        second: Of their squares; of no length where nobody asks for them.
    """

    first: Reals
    second: Reals

    def to_bytes(self) -> bytes:
        """Both, little-endian: 8 or 16 bytes a parameter."""
        return self.first.astype("<f8").tobytes() + self.second.astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, count: int) -> Moments:
        """What `to_bytes` gave, of ``count`` parameters."""
        both = np.frombuffer(data, "<f8").astype(np.float64)
        return cls(both[:count], both[count:])


def real(change: NDArray[np.int64], units: Reals) -> Reals:
    """An exact mean in 2^-16 units as real numbers.

    Args:
        change: int64 [d].
        units: What one unit of each parameter stands for.
    """
    made: Reals = change.astype(np.float64) / _FRACTION * units
    return made


def fixed(move: Reals, units: Reals) -> NDArray[np.int64]:
    """Real moves in 2^-16 units, to nearest, ties to even.

    Raises:
        RoundError: One is not finite, or larger than any parameter: the options diverge.
    """
    scaled = move / units * _FRACTION
    if not (np.abs(scaled) < _LARGEST).all():
        raise RoundError(
            "the server's step has left all bounds",
            where="strategy",
            expected="a finite step",
            hint="a smaller strategy.rate",
        )
    return np.rint(scaled).astype(np.int64)
