# SPDX-License-Identifier: Apache-2.0
"""What all robust rules have: options, bounds at the door, mixing, and a refusal by name."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Update
from fleetgrad.device.update import MAX_EXPONENT
from fleetgrad.errors import RoundError
from fleetgrad.federation.model import GlobalModel, Layout
from fleetgrad.federation.strategies.base import Cohort as Kept
from fleetgrad.federation.strategies.base import Next, Robust
from fleetgrad.federation.strategies.robust.cohort import Cohort, Updates
from fleetgrad.federation.strategies.robust.nnm import mixed
from fleetgrad.settings import Range


@dataclass(frozen=True)
class Rule(Robust):
    """A pure function of a round's updates, in which some devices may send anything at all.

    All rules are unweighted: who lies about deltas lies about the number of samples as well.

    Attributes:
        title: What to call it in errors.
        attackers: f, how many devices of a round may lie. A smaller cohort than the rule needs for
            that makes no version.
        mixing: Replace each update by the mean of the n - f nearest ones first (`mixed`): the best
            known bound where devices' data differ. Needs n >= 2f + 1, as nearly all rules do.
        bias_exponent: An update with a larger exponent of biases is refused at the door.
        weight_exponent: The same of weights.
        norm: An update with a larger norm, in units of parameters, is refused at the door; 0: none.
    """

    title: ClassVar[str]

    attackers: int = field(default=1, metadata={"check": Range(0, 65535)})
    mixing: bool = False
    bias_exponent: int = field(
        default=MAX_EXPONENT["bias"], metadata={"check": Range(0, MAX_EXPONENT["bias"])}
    )
    weight_exponent: int = field(
        default=MAX_EXPONENT["weight"], metadata={"check": Range(0, MAX_EXPONENT["weight"])}
    )
    norm: float = field(default=0.0, metadata={"check": Range(0.0, 2.0**40)})

    @abstractmethod
    def needs(self, attackers: int) -> int:
        """The smallest cohort in which the rule withstands so many."""

    @abstractmethod
    def change(self, cohort: Cohort) -> NDArray[np.int64]:
        """What the version changes by.

        Args:
            cohort: At least `least` rows; rows may be means of others (`Cohort.scale`).

        Returns:
            int64, one for each parameter, in units of 2^-16.

        Raises:
            RoundError: Numbers are too large for 64 bits.
        """

    @property
    def least(self) -> int:
        """See `Robust.least`."""
        needed = self.needs(self.attackers)
        return max(needed, 2 * self.attackers + 1) if self.mixing else needed

    def refusal(self, update: Update, layout: Layout) -> str:
        """See `Robust.refusal`: what no honest device of this fleet would send.

        int8 deltas are bounded; exponents are what an attacker has left to shout with.
        """
        limits = {"bias": self.bias_exponent, "weight": self.weight_exponent}
        square, start = 0, 0
        for (kind, count), exponent in zip(layout.segments, update.exponents, strict=True):
            if exponent > limits[kind]:
                return f"an exponent of {exponent} for {kind} deltas, beyond {limits[kind]}"
            deltas = update.deltas[start : start + count].astype(np.int64)
            square += int(deltas @ deltas) << 2 * exponent
            start += count
        if self.norm and square > self.norm * self.norm:
            return f"a norm of {math.sqrt(square):.0f}, beyond {self.norm:g}"
        return ""

    def __call__(self, cohort: Cohort) -> NDArray[np.int64]:
        """As `change`, after checking and mixing.

        Raises:
            RoundError: The cohort is too small, or numbers are too large for 64 bits.
        """
        if cohort.size < self.least:
            raise RoundError(
                f"{cohort.size} updates are too few for {self.title} against"
                f" {self.attackers} attackers",
                where="strategy",
                expected=f"at least {self.least} updates (n = {cohort.size}, f = {self.attackers})",
                hint="a larger rounds.fraction or rounds.min_updates, a smaller"
                " strategy.attackers, or another rule: docs/strategies.md says what each needs",
            )
        return self.change(mixed(cohort, self.attackers) if self.mixing else cohort)

    def combine(self, model: GlobalModel, cohort: Kept, memory: bytes) -> Next:
        """See `Robust.combine`."""
        del memory
        updates = Updates(
            tuple(count for _, count in model.layout.segments),
            [tuple(facts.exponents) for facts in cohort.facts],
            cohort.block,
            tuple(cohort.devices),
        )
        return Next(replace(model, values=model.values + self(updates)))
