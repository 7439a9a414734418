# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for quantised tensors."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

ROUND_SCALES = [1.0, 0.5, 0.25, 2.0**-7, 1 / 256, 0.1, 0.2, 0.3, 0.6, 1 / 3, 1 / 255]


def float32(value: float) -> float:
    """A float32, in a Python float."""
    return float(np.float32(value))


def scales(lowest: float = 1e-4, highest: float = 4.0) -> st.SearchStrategy[float]:
    """Scales, many of them round numbers, on which ties and exact quotients happen."""
    spread = st.floats(np.log(lowest), np.log(highest)).map(np.exp)
    return st.one_of(st.sampled_from(ROUND_SCALES), spread).map(float32)


def zero_points() -> st.SearchStrategy[int]:
    """Zero points of int8 tensors, the ends included."""
    return st.one_of(st.sampled_from([-128, 0, 127]), st.integers(-128, 127))


def generators() -> st.SearchStrategy[np.random.Generator]:
    """Sources of bulk data."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def int8s(rng: np.random.Generator, shape: tuple[int, ...], low: int = -128) -> np.ndarray:
    """int8 values; one tensor in four has nothing but extremes."""
    if rng.integers(4) == 0:
        return rng.choice(np.array([low, 127], np.int8), shape)
    return rng.integers(low, 128, shape, np.int8)
