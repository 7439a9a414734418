# SPDX-License-Identifier: Apache-2.0
"""Who has more samples is asked more often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fleetgrad.federation.selections.base import Candidate, Draw, Selection


@dataclass(frozen=True)
class ByData(Selection):
    """Draws without replacement, by samples.

    With `fedavg` samples count twice then: in the draw and in the mean. `fedbuff` and the robust
    rules are unweighted.
    """

    name: ClassVar[str] = "by-data"

    def prefer(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[int]:
        """See `Selection.prefer`."""
        return [c.device for c in sorted(candidates, key=draw.wait)[:count]]
