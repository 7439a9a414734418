# SPDX-License-Identifier: Apache-2.0
"""A socket that asks the system seldom: it reads large pieces and gathers what is to leave."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

_PIECE = 1 << 16
_GOODBYE_S = 1.0
_GLANCE_S = 0.002


class BatchedSocket:
    """Stands between a socket and a client that reads byte by byte and writes packet by packet.

    Args:
        connection: Connected; this owns it from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._come = memoryview(b"")
        self._going = bytearray()

    @property
    def waiting(self) -> bool:
        """Whether bytes are here that were not taken."""
        return bool(self._come)

    @property
    def unsent(self) -> bool:
        """Whether bytes are here that have not left."""
        return bool(self._going)

    def fileno(self) -> int:
        """The socket's descriptor; -1 once closed."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """As a socket's."""
        self._socket.setblocking(flag)

    def pending(self) -> int:
        """Bytes that TLS has decrypted and nobody has read."""
        return self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0

    def recv(self, count: int) -> bytes:
        """At most so many bytes that have come.

        Raises:
            OSError: As a socket's; BlockingIOError where none have.
        """
        if not self._come:
            self._come = memoryview(self._socket.recv(_PIECE))
        taken = self._come[:count]
        self._come = self._come[count:]
        return bytes(taken)

    def send(self, data: bytes) -> int:
        """Takes all bytes; they leave with :meth:`flush`."""
        self._going += data
        return len(data)

    def flush(self) -> None:
        """Sends what the system takes now.

        Raises:
            OSError: As a socket's.
        """
        while self._going:
            try:
                sent = self._socket.send(self._going)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            del self._going[:sent]

    def close(self) -> None:
        """Closes the socket, after what was said in farewell has left."""
        until = time.monotonic() + _GOODBYE_S
        with contextlib.suppress(OSError):
            self.flush()
            while self._going and time.monotonic() < until:
                time.sleep(_GLANCE_S)
                self.flush()
        self._socket.close()
