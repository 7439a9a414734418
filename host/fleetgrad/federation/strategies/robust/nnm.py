# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour mixing before another rule (Allouah et al., AISTATS 2023, arXiv 2302.01772)."""

from __future__ import annotations

import numpy as np

from fleetgrad.federation.strategies.robust.cohort import Cohort, Mixed
from fleetgrad.federation.strategies.robust.sums import squared_distances


def mixed(cohort: Cohort, attackers: int) -> Mixed:
    """Each update replaced by the mean of the n - f nearest to it, itself among them.

    Of others equally far the first rows count.
    """
    near = np.argsort(squared_distances(cohort.gram), axis=1, kind="stable")
    return Mixed(cohort, np.sort(near[:, : cohort.size - attackers], axis=1))
