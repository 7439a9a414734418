# SPDX-License-Identifier: Apache-2.0
"""Spearman's rank correlation."""

from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.training.convolve import Doubles


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two sequences of equal length; equal values share the mean of their ranks.

    Returns:
        -1 to 1; NaN where one of them is constant or there are fewer than two values.
    """
    first, second = _ranks(one), _ranks(other)
    if len(first) < 2 or not first.any() or not second.any():
        return float("nan")
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def _ranks(values: Sequence[float]) -> Doubles:
    """Ranks minus their mean."""
    array = np.array(values, np.float64)
    ranks = (array[:, None] > array).sum(axis=1) + ((array[:, None] == array).sum(axis=1) - 1) / 2
    centred: Doubles = ranks - (len(array) - 1) / 2
    return centred
