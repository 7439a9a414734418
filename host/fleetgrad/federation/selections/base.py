# SPDX-License-Identifier: Apache-2.0
"""What a selection is: who takes part in a round, the same whenever and wherever it is asked.

Selections are frozen dataclasses whose fields are their options, as strategies are. They keep
nothing: what they go by is what the ledger has.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fleetgrad.settings import Range


@dataclass(frozen=True)
class Candidate:
    """A device that may be asked.

    Attributes:
        device: Its id.
        samples: That it trains on.
        loss: Mean training loss of its last update that counted; None before there is one.
    """

    device: int
    samples: int
    loss: int | None = None


@dataclass(frozen=True)
class Draw:
    """What chance is made of.

    Attributes:
        seed: Of the run.
        number: The round.
    """

    seed: int
    number: int

    def ticket(self, device: int) -> bytes:
        """32 bytes that nobody can foresee who does not know the seed."""
        return hashlib.sha256(f"select/{self.seed}/{self.number}/{device}".encode()).digest()

    def wait(self, candidate: Candidate) -> float:
        """An exponential time with the device's samples as its rate: who is first has won.

        Drawing the smallest of these is drawing without replacement by samples (Efraimidis and
        Spirakis, 2006).
        """
        uniform = (int.from_bytes(self.ticket(candidate.device)[:6], "big") + 1) / (1 << 48)
        return -math.log(uniform) / candidate.samples


@dataclass(frozen=True)
class Selection(ABC):
    """Chooses the devices of a round.

    Attributes:
        every: Each device is asked at least once in so many rounds, in a turn of its own, whatever
            else it looks like; 0: no such promise. A round has more devices than its share where
            more than that are due.
    """

    name: ClassVar[str]

    reads_losses: ClassVar[bool] = False
    """Whether it goes by what devices have reported."""

    every: int = field(default=0, metadata={"check": Range(0, 65534)})

    @abstractmethod
    def prefer(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[int]:
        """Some devices.

        Args:
            candidates: By device id, with at least one sample each.
            count: How many are wanted; no more than there are.
            draw: What chance is made of.
        """

    def choose(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> tuple[int, ...]:
        """The devices of a round.

        Args:
            candidates: Those that may be asked, each once, in any order.
            count: How many are wanted.
            draw: What chance is made of.

        Returns:
            Device ids, ascending: ``count``, all where there are fewer, more where more are due.
        """
        ordered = sorted(candidates, key=lambda candidate: candidate.device)
        due = [c for c in ordered if self._is_due(c.device, draw)]
        chosen = {c.device for c in due}
        others = [c for c in ordered if c.device not in chosen]
        wanted = min(max(0, count - len(due)), len(others))
        return tuple(sorted(chosen.union(self.prefer(others, wanted, draw))))

    def _is_due(self, device: int, draw: Draw) -> bool:
        """Whether it is the device's turn: once in every so many rounds in a row."""
        if not self.every:
            return False
        text = f"turn/{draw.seed}/{device}".encode()
        turn = int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
        return (turn + draw.number) % self.every == 0
