# SPDX-License-Identifier: Apache-2.0
"""What a campaign of kills came to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """What came of one campaign.

    Attributes:
        kind: Who was killed.
        kills: How often.
        runs: How many runs came to their end.
        lost: Updates that a ledger held before a kill, or should hold at the end, and does not.
        double: Updates that it holds more than once.
        other: Runs that ended with another model than the undisturbed one.
        by_moment: Kills by moment, where they are not drawn.
    """

    kind: str
    kills: int = 0
    runs: int = 0
    lost: int = 0
    double: int = 0
    other: int = 0
    by_moment: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Nothing was lost or doubled, and every model is the undisturbed one."""
        return not (self.lost or self.double or self.other)
