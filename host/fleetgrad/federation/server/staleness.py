# SPDX-License-Identifier: Apache-2.0
"""Weights of updates made from an older version (FedBuff, Nguyen et al., AISTATS 2022)."""

from __future__ import annotations

from math import isqrt
from typing import Final

UNIT: Final = 256
"""The weight of an update without delay."""

MOST: Final = 1023
"""Versions; the table ends here."""


def _weight(staleness: int) -> int:
    """256 / sqrt(1 + staleness), to nearest, in integers: r <= x + 1/2 where (2r - 1)^2 <= 4 x^2.

    With x^2 = 2^16 / (1 + staleness): 2r - 1 <= sqrt(2^18 / (1 + staleness)).
    """
    return (isqrt((1 << 18) // (1 + staleness)) + 1) // 2


TABLE: Final = tuple(_weight(staleness) for staleness in range(MOST + 1))
"""256, 181, 148, 128, 114, ...: by 1 / sqrt(1 + staleness), not 1 / (1 + sqrt(staleness))."""


def staleness_weight(staleness: int, bound: int) -> int:
    """The weight of an update in 1/256.

    Args:
        staleness: Versions between the one that was trained from and the present one.
        bound: An update that is staler counts for nothing; at most `MOST`.
    """
    assert staleness >= 0
    assert 0 <= bound <= MOST
    return TABLE[staleness] if staleness <= bound else 0
