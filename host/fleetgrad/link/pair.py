# SPDX-License-Identifier: Apache-2.0
"""Both ends of a link within this process."""

import socket

from fleetgrad.link.stream import SocketLink


def socket_pair(name: str) -> tuple[SocketLink, SocketLink]:
    """Two links, each the other's far end.

    Args:
        name: What to call them in errors.
    """
    host, device = socket.socketpair()
    return SocketLink(host, name), SocketLink(device, name)
