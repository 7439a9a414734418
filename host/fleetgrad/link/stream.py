# SPDX-License-Identifier: Apache-2.0
"""A link over a connected stream socket."""

import socket

from fleetgrad.errors import LinkClosed

_PIECE = 65536


class SocketLink:
    """A link over a socket, which it owns from now on.

    Args:
        connection: A connected stream socket.
        name: What to call it in errors, e.g. its address.
    """

    def __init__(self, connection: socket.socket, name: str) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._name = name

    def fileno(self) -> int:
        """The socket's descriptor; -1 once closed."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """See :class:`fleetgrad.link.Link`."""
        try:
            data = self._socket.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            raise self._closed(error) from error
        if not data:
            raise self._closed(None)
        return data

    def write(self, data: bytes) -> int:
        """See :class:`fleetgrad.link.Link`."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise self._closed(error) from error

    def close(self) -> None:
        """See :class:`fleetgrad.link.Link`."""
        self._socket.close()

    def _closed(self, error: OSError | None) -> LinkClosed:
        reason = f": {error.strerror}" if error and error.strerror else ""
        return LinkClosed(f"the link was closed at the other end{reason}", where=self._name)
