# SPDX-License-Identifier: Apache-2.0
"""Power of choice: of some that are drawn, those with the highest loss (Cho et al., 2020).

arXiv 2010.01243. The loss is that of a device's last update, as in the paper's variant that needs
no extra messages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fleetgrad.federation.selections.base import Candidate, Draw, Selection
from fleetgrad.settings import Range


@dataclass(frozen=True)
class PowerOfChoice(Selection):
    """Draws ``pool`` times as many as are wanted, by samples, and asks those with the highest loss.

    Who has not reported yet comes first. A device that lies about its loss is asked as often as it
    likes: give ``every`` and a robust rule where that matters.

    Attributes:
        pool: 1 is `ByData`; the larger, the more the worst off are preferred.
    """

    name: ClassVar[str] = "power-of-choice"
    reads_losses: ClassVar[bool] = True

    pool: float = field(default=2.0, metadata={"check": Range(1.0, 1000.0)})

    def prefer(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[int]:
        """See `Selection.prefer`."""
        drawn = sorted(candidates, key=draw.wait)[: math.ceil(self.pool * count)]
        # Sorting is stable: among equal losses the draw decides.
        worst = sorted(drawn, key=lambda c: -math.inf if c.loss is None else -c.loss)
        return [c.device for c in worst[:count]]
