# SPDX-License-Identifier: Apache-2.0
"""Links over TCP: a device that dials in, or one that is dialled."""

import contextlib
import socket

from fleetgrad.errors import LinkError
from fleetgrad.link.stream import SocketLink


class Listener:
    """Waits on a free loopback port for one device to dial in."""

    def __init__(self) -> None:
        try:
            self._socket = socket.create_server(("127.0.0.1", 0), backlog=1)
        except OSError as error:
            raise LinkError(
                f"cannot listen on the loopback interface: {error.strerror}", where="127.0.0.1"
            ) from error
        self._socket.setblocking(False)

    @property
    def address(self) -> str:
        """HOST:PORT for the device to dial."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def accept(self) -> SocketLink | None:
        """The link, once the device has dialled in; None while it has not."""
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError):
            return None
        _hurry(connection)
        return SocketLink(connection, f"tcp://{self.address}")

    def fileno(self) -> int:
        """For a selector: readable when the device dials in."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stops listening; an accepted link lives on."""
        self._socket.close()


def connect(host: str, port: int, timeout_s: float = 5.0) -> SocketLink:
    """Dials a device.

    Raises:
        LinkError: When nobody answers.
    """
    try:
        connection = socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        raise LinkError(
            f"cannot connect: {error.strerror or error}",
            where=f"tcp://{host}:{port}",
            hint="check the address, and that the device listens there",
        ) from error
    _hurry(connection)
    return SocketLink(connection, f"tcp://{host}:{port}")


def _hurry(connection: socket.socket) -> None:
    """Frames are short and answers are waited for."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
