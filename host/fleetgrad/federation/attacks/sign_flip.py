# SPDX-License-Identifier: Apache-2.0
"""Sign flip: the opposite of what was learned (Allen-Zhu et al., ICLR 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from fleetgrad.federation.attacks.craft import Reals


@dataclass(frozen=True)
class SignFlip:
    """Each attacker negates its own honest update.

    Attributes:
        factor: And multiplies it.
    """

    factor: float = 1.0

    def __call__(self, honest: Reals, own: Reals) -> Reals:
        """See `Attack`."""
        del honest
        return -self.factor * own
