# SPDX-License-Identifier: Apache-2.0
"""Everybody has the same chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fleetgrad.federation.selections.base import Candidate, Draw, Selection


@dataclass(frozen=True)
class Uniform(Selection):
    """Draws without replacement."""

    name: ClassVar[str] = "uniform"

    def prefer(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[int]:
        """See `Selection.prefer`."""
        return sorted((c.device for c in candidates), key=draw.ticket)[:count]
