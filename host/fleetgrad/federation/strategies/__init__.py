# SPDX-License-Identifier: Apache-2.0
"""How updates become the next version: one file for every strategy."""

from collections.abc import Mapping
from typing import Protocol

from fleetgrad.device import Update
from fleetgrad.federation.model import GlobalModel
from fleetgrad.federation.strategies.fedavg import fedavg


class Strategy(Protocol):
    """A pure function of the version that was broadcast and the updates that were accepted."""

    def __call__(self, model: GlobalModel, updates: Mapping[int, Update]) -> GlobalModel:
        """Makes the next version.

        Args:
            model: The version that the devices trained from.
            updates: At least one, by device id. The result must not depend on their order.
        """


__all__ = ["Strategy", "fedavg"]
