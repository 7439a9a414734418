# SPDX-License-Identifier: Apache-2.0
"""Random scales, zero points and sizes."""

from __future__ import annotations

import numpy as np

from support.strategies import ROUND_SCALES, float32


def random_scale(rng: np.random.Generator) -> float:
    """A scale, round numbers more often than not."""
    if rng.integers(2):
        return float32(rng.choice(ROUND_SCALES))
    return float32(np.exp(rng.uniform(-7, 1)))


def random_zero(rng: np.random.Generator) -> int:
    """A zero point, the ends included."""
    return int(rng.choice([-128, 0, 127, int(rng.integers(-128, 128))]))


def random_size(rng: np.random.Generator, most: int = 9) -> int:
    """A dimension."""
    return int(rng.integers(1, most + 1))
