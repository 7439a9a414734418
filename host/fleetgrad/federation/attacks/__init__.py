# SPDX-License-Identifier: Apache-2.0
"""What hostile devices send: for trying a defence before anybody else does.

Attackers know every honest update of the round, and send together; what they send is a valid update
in every respect, with exponents that a device may have. Nothing in a run uses this package.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetgrad.federation.attacks.alie import Little
from fleetgrad.federation.attacks.craft import Reals, decode, encode, whole
from fleetgrad.federation.attacks.free_rider import FreeRider
from fleetgrad.federation.attacks.ipm import InnerProduct
from fleetgrad.federation.attacks.min_max import MinMax
from fleetgrad.federation.attacks.poison import Backdoor, LabelFlip
from fleetgrad.federation.attacks.scaling import Scaling
from fleetgrad.federation.attacks.sign_flip import SignFlip


class Attack(Protocol):
    """A pure function from what was learned to what is sent."""

    def __call__(self, honest: Reals, own: Reals) -> Reals:
        """What the attackers send.

        Args:
            honest: float64 [n - f, d]: the changes of the honest devices, in units of parameters.
            own: float64 [f, d]: what the attackers would send, were they honest.

        Returns:
            float64 [f, d].
        """


ATTACKS: Final[Mapping[str, Attack]] = {
    "sign-flip": SignFlip(),
    "alie": Little(),
    "ipm": InnerProduct(),
    "min-max": MinMax(),
    "scaling": Scaling(),
    "free-rider": FreeRider(),
}
"""By name, as the papers have them."""


def attacked(
    attack: Attack,
    updates: Sequence[tuple[tuple[int, ...], NDArray[np.int8]]],
    attackers: Sequence[int],
    segments: Sequence[tuple[str, int]],
) -> list[tuple[tuple[int, ...], NDArray[np.int8]]]:
    """A round's updates with those of the attackers replaced.

    Args:
        attack: How.
        updates: Exponents and deltas of every device, as an honest one sends them.
        attackers: Which of them lie; not all.
        segments: Kind and element count of every segment.
    """
    rows = np.stack([decode(*update, segments) for update in updates]).astype(np.float64)
    lying = np.zeros(len(updates), np.bool_)
    lying[list(attackers)] = True
    made = iter(whole(attack(rows[~lying], rows[lying])))
    return [
        encode(next(made), segments) if lies else update
        for update, lies in zip(updates, lying.tolist(), strict=True)
    ]


__all__ = [
    "ATTACKS",
    "Attack",
    "Backdoor",
    "FreeRider",
    "InnerProduct",
    "LabelFlip",
    "Little",
    "MinMax",
    "Scaling",
    "SignFlip",
    "attacked",
    "decode",
    "encode",
]
