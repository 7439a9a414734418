# SPDX-License-Identifier: Apache-2.0
"""SignGuard (Xu et al., IEEE ICDCS 2022, arXiv 2109.05872)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.strategies.robust.centred_clipping import shorten
from fleetgrad.federation.strategies.robust.cohort import Cohort
from fleetgrad.federation.strategies.robust.rule import Rule
from fleetgrad.federation.strategies.robust.sums import Reals, combined, middle, norms, ordered_sum

SHORTEST, LONGEST = 0.1, 3.0
"""Norms that are believed, in medians."""

MOST_STEPS = 300
SAME = 1e-3
"""Peaks that are nearer than this share of the bandwidth are one."""


def sign_shares(cohort: Cohort) -> Reals:
    """Of every row the shares of positive, zero and negative values: [n, 3]."""
    counts = np.zeros((cohort.size, 3), np.int64)
    for _, block in cohort.blocks():
        for column, found in enumerate((block > 0, block == 0, block < 0)):
            counts[:, column] += np.count_nonzero(found, axis=1)
    return counts / float(cohort.count)


def mean_shift(points: Reals) -> NDArray[np.int64]:
    """Flat-kernel mean shift; the bandwidth is the mean distance to the nearer half of the points.

    Args:
        points: [n, k].

    Returns:
        The cluster of each point, numbered by size, the largest 0; of equal ones that of the
        first point.
    """
    count = len(points)
    away = np.sqrt(_squares(points, points))
    half = max(1, count // 2)
    farthest = np.sort(away, axis=1)[:, half - 1]
    bandwidth = float(ordered_sum(farthest)) / count
    if bandwidth == 0.0:  # most points are the same one
        _, labels = np.unique(points, axis=0, return_inverse=True)
        return _by_size(np.asarray(labels, np.int64).reshape(-1))
    peaks = points.copy()
    for _ in range(MOST_STEPS):
        near = (_squares(peaks, points) <= bandwidth * bandwidth).astype(np.float64)
        total = ordered_sum(near.T[:, :, np.newaxis] * points[:, np.newaxis, :])
        moved = total / near.sum(axis=1)[:, np.newaxis]
        if np.abs(moved - peaks).max() <= SAME * bandwidth:
            break
        peaks = moved
    labels = np.full(count, -1)
    for row in range(count):
        if labels[row] < 0:
            same = _squares(peaks[row : row + 1], peaks)[0] <= bandwidth * bandwidth
            labels[same & (labels < 0)] = row
    return _by_size(labels)


def _squares(left: Reals, right: Reals) -> Reals:
    """Squared distances, [len(left), len(right)]."""
    return ordered_sum((left.T[:, :, np.newaxis] - right.T[:, np.newaxis, :]) ** 2)


def _by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    found, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    return np.argsort(order)[np.searchsorted(found, labels)]


@dataclass(frozen=True)
class SignGuard(Rule):
    """Keeps updates of a usual norm and usual signs, and takes their mean, clipped.

    A norm is usual from 0.1 to 3 median norms; signs are usual if their shares (positive, zero,
    negative, over all parameters) lie in the largest cluster of a mean shift. Norms are clipped to
    the median. Withstands fewer than half, n >= 2f + 1, of attackers whose signs or norms betray
    them; there is no proof. Unweighted. Time O(d n^2), memory one block and n^2 numbers. float64
    for the weights, exact from there.
    """

    name: ClassVar[str] = "sign-guard"
    title: ClassVar[str] = "SignGuard"

    def needs(self, attackers: int) -> int:
        """See `Rule.needs`."""
        return 2 * attackers + 1

    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """See `Rule.change`."""
        lengths = norms(cohort.gram)
        usual = middle(lengths)
        believed = (lengths >= SHORTEST * usual) & (lengths <= LONGEST * usual)
        labels = mean_shift(sign_shares(cohort))
        # The largest cluster among those whose norm is usual: attackers may be a cluster by norm.
        sizes = np.bincount(labels[believed])
        kept = believed & (labels == int(np.argmax(sizes)))
        weights = np.where(kept, shorten(lengths, usual), 0.0) / np.count_nonzero(kept)
        return combined(cohort, weights)
