# SPDX-License-Identifier: Apache-2.0
"""The updates of a round for rules that compare them: in memory, or in pieces of bounded size."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Update
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import Layout
from fleetgrad.federation.strategies.base import Cohort

BLOCK_BYTES = 32 << 20
"""Of int64 values at a time."""


@dataclass(frozen=True)
class KeptCohort:
    """Updates in memory, by device: for tests, and for fleets that are small."""

    updates: Mapping[int, Update]

    @property
    def devices(self) -> list[int]:
        """See `Cohort`."""
        return sorted(self.updates)

    @property
    def facts(self) -> list[Facts]:
        """See `Cohort`."""
        return [Facts.of(self.updates[device]) for device in self.devices]

    def block(self, start: int, stop: int) -> NDArray[np.int8]:
        """See `Cohort`."""
        return np.stack([self.updates[device].deltas[start:stop] for device in self.devices])


def blocks(
    cohort: Cohort, layout: Layout, limit: int = BLOCK_BYTES
) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """All updates in the parameters' own unit, some coordinates at a time.

    Args:
        cohort: Of a training round.
        layout: Of the parameters.
        limit: Bytes of a block at most, where that is more than one coordinate.

    Yields:
        First coordinate, the one after the last, and int64 [devices, coordinates]: q * 2^e.
    """
    exponents = np.array([list(facts.exponents) for facts in cohort.facts], np.int64)
    width = max(1, limit // (8 * max(1, len(cohort.devices))))
    begin = 0
    for place, (_, count) in enumerate(layout.segments):
        for start in range(begin, begin + count, width):
            stop = min(start + width, begin + count)
            deltas = cohort.block(start, stop).astype(np.int64)
            yield start, stop, deltas << exponents[:, place, None]
        begin += count
