# SPDX-License-Identifier: Apache-2.0
"""Between boards on cables and a host behind a broker: updates wait here until they are settled."""

from fleetgrad.gateway.custody import Custody
from fleetgrad.gateway.gateway import Gateway

__all__ = ["Custody", "Gateway"]
