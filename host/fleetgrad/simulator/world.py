# SPDX-License-Identifier: Apache-2.0
"""Virtual time: things happen when they are due, in an order that one seed decides."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable


class World:
    """A clock, dice, and what is due when.

    Args:
        seed: Of all that is left to chance.
        trace: Is told everything that happens, with the time in milliseconds; None: nobody is.
    """

    def __init__(self, seed: int, trace: Callable[[float, str], None] | None = None) -> None:
        self.now = 0.0
        self.dice = random.Random(seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._trace = trace

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Lets something happen at a moment, in milliseconds; at once where that is past."""
        self._count += 1
        heapq.heappush(self._due, (max(moment, self.now), self._count, action))

    def advance(self, until: float) -> bool:
        """Lets the next thing happen that is due by then; False: there was none, and it is then."""
        if self._due and self._due[0][0] <= until:
            moment, _, action = heapq.heappop(self._due)
            self.now = max(self.now, moment)
            action()
            return True
        self.now = max(self.now, until)
        return False

    @property
    def traced(self) -> bool:
        """Whether anybody wants to know what happens."""
        return self._trace is not None

    def tell(self, text: str) -> None:
        """Notes what has happened."""
        if self._trace is not None:
            self._trace(self.now, text)
