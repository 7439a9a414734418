# SPDX-License-Identifier: Apache-2.0
"""What every robust rule promises."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import RoundError
from fleetgrad.federation.robust.cohort import Cohort


class Rule(Protocol):
    """A pure function of a cohort. Frozen dataclasses implement it."""

    @property
    def title(self) -> str:
        """What to call it in errors."""

    def least(self, attackers: int) -> int:
        """The smallest cohort in which the rule withstands so many."""

    def __call__(self, cohort: Cohort, attackers: int) -> NDArray[np.int64]:
        """What the version changes by, in units of 2^-16.

        Args:
            cohort: At least ``least(attackers)`` rows.
            attackers: How many rows may be anything at all.

        Raises:
            RoundError: The cohort is too small, or numbers are too large for 64 bits.
        """


def check(rule: Rule, cohort: Cohort, attackers: int) -> None:
    """Refuses a cohort in which a rule promises nothing.

    Raises:
        RoundError: It is too small.
    """
    needed = rule.least(attackers)
    if cohort.size < needed:
        raise RoundError(
            f"{cohort.size} updates are too few for {rule.title} against {attackers} attackers",
            where="strategy",
            expected=f"at least {needed} updates (n = {cohort.size}, f = {attackers})",
            hint="a larger rounds.fraction or rounds.min_updates, a smaller strategy.attackers,"
            " or another rule: docs/strategies.md says what each needs",
        )
