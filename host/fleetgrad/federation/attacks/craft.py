# SPDX-License-Identifier: Apache-2.0
"""From a change that an attacker wants to one that the protocol allows: int8 deltas, exponents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device.update import MAX_EXPONENT

Reals = NDArray[np.float64]
_MOST = 127


def encode(
    change: NDArray[np.int64], segments: Sequence[tuple[str, int]]
) -> tuple[tuple[int, ...], NDArray[np.int8]]:
    """Exponents and deltas as SPEC.md, "Update blob", has them; what is too large is cut off.

    Args:
        change: int64 [d], in units of the parameters.
        segments: Kind and element count of every segment.
    """
    exponents, deltas, start = [], [], 0
    for kind, count in segments:
        most = _MOST << MAX_EXPONENT[kind]
        part = np.clip(change[start : start + count], -most, most)
        largest = int(np.abs(part).max(initial=0))
        exponent = max(0, largest.bit_length() - 7)
        size = (np.abs(part) + ((1 << exponent) >> 1)) >> exponent
        deltas.append((np.sign(part) * np.minimum(size, _MOST)).astype(np.int8))
        exponents.append(exponent)
        start += count
    return tuple(exponents), np.concatenate(deltas)


def decode(
    exponents: Sequence[int], deltas: NDArray[np.int8], segments: Sequence[tuple[str, int]]
) -> NDArray[np.int64]:
    """What deltas stand for, in units of the parameters."""
    shifts = np.repeat(np.array(exponents, np.int64), [count for _, count in segments])
    return deltas.astype(np.int64) << shifts


def whole(change: Reals) -> NDArray[np.int64]:
    """A real change in whole units, to nearest."""
    return np.rint(np.clip(change, -(2.0**40), 2.0**40)).astype(np.int64)
