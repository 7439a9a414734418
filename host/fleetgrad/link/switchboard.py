# SPDX-License-Identifier: Apache-2.0
"""Many links behind one descriptor, as devices behind one broker are."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from fleetgrad.errors import LinkClosed
from fleetgrad.link.pair import socket_pair


class Switchboard:
    """Hands bytes from one thread to the links of another.

    Args:
        carry: Takes what links were given away, each with its key; in the thread of the links.
        space: How much more ``carry`` should be given now, in pieces.
        room: What a link keeps of bytes that nobody has read; what comes beyond it is lost.
    """

    def __init__(
        self,
        carry: Callable[[list[tuple[int, bytes]]], None],
        space: Callable[[], int],
        room: int,
    ) -> None:
        self._carry = carry
        self._space = space
        self._room = room
        self._come: dict[int, bytearray] = {}
        self._fresh: set[int] = set()
        self._held_up: set[int] = set()
        self._given: list[tuple[int, bytes]] = []
        self._lock = threading.Lock()
        self._bell, self._door = socket_pair("a switchboard")
        self.closed = False

    def link(self, key: int) -> SwitchedLink:
        """The link with this key."""
        with self._lock:
            self._come.setdefault(key, bytearray())
        return SwitchedLink(self, key)

    def deliver(self, key: int, data: bytes) -> None:
        """Bytes for a link, from any thread; of a key without a link they are dropped."""
        with self._lock:
            waiting = self._come.get(key)
            if waiting is None or len(waiting) + len(data) > self._room:
                return
            waiting += data
            quiet = not self._fresh
            self._fresh.add(key)
        if quiet:
            self.ring()

    def ring(self) -> None:
        """Makes the descriptor readable, so that links that were held up get their turn."""
        with contextlib.suppress(LinkClosed):
            self._bell.write(b"!")

    def fileno(self) -> int:
        """Readable when any link has something to do; -1 once closed."""
        return self._door.fileno()

    def ready(self) -> list[int]:
        """Keys of the links that have bytes, or room for some again."""
        self._door.read()
        with self._lock:
            found, self._fresh = self._fresh, set()
        if self._held_up and self._space():
            found |= self._held_up
            self._held_up = set()
        return sorted(found)

    def take(self, key: int) -> bytes:
        """What has come for a link."""
        with self._lock:
            waiting = self._come[key]
            data = bytes(waiting)
            waiting.clear()
        return data

    def give(self, key: int, data: bytes) -> int:
        """Bytes from a link; returns how many were taken: all, or none. See :meth:`flush`."""
        if len(self._given) >= self._space():
            self._held_up.add(key)
            return 0
        self._given.append((key, data))
        return len(data)

    def flush(self) -> None:
        """Lets go what links were given since the last time: once a turn, not once a link."""
        if self._given:
            given, self._given = self._given, []
            self._carry(given)

    @property
    def holding(self) -> bool:
        """Whether a link waits for room."""
        return bool(self._held_up)

    def close(self) -> None:
        """Ends every link; harmless when they have ended."""
        self.closed = True
        self._bell.close()
        self._door.close()


class SwitchedLink:
    """One link of a switchboard: a :class:`fleetgrad.link.Link` that has no descriptor of its own.

    Args:
        board: Whose it is.
        key: Which it is.
    """

    def __init__(self, board: Switchboard, key: int) -> None:
        self.board = board
        self._key = key

    def fileno(self) -> int:
        """The switchboard's."""
        return self.board.fileno()

    def read(self) -> bytes:
        """See :class:`fleetgrad.link.Link`."""
        self._open()
        return self.board.take(self._key)

    def write(self, data: bytes) -> int:
        """See :class:`fleetgrad.link.Link`."""
        self._open()
        return self.board.give(self._key, data)

    def close(self) -> None:
        """See :class:`fleetgrad.link.Link`; the switchboard is closed by who made it."""

    def _open(self) -> None:
        if self.board.closed:
            raise LinkClosed("the switchboard was closed", where=f"device {self._key}")
