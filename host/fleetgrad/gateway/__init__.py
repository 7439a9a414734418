# SPDX-License-Identifier: Apache-2.0
"""Between boards on cables and a host behind a broker: updates wait here until they are settled."""

from fleetgrad.gateway.boards import Boards
from fleetgrad.gateway.custody import Custody
from fleetgrad.gateway.gateway import Front, Gateway
from fleetgrad.gateway.proxies import Proxies
from fleetgrad.gateway.summing import Sums

__all__ = ["Boards", "Custody", "Front", "Gateway", "Proxies", "Sums"]
