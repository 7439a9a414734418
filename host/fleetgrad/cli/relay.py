# SPDX-License-Identifier: Apache-2.0
"""Makes emulated boards, which dial in, reachable for whoever dials them."""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Sequence
from dataclasses import dataclass, field

from fleetgrad.errors import LinkClosed
from fleetgrad.fleet import Endpoint
from fleetgrad.link import Link, Listener

# What a board may say before anybody listens; older bytes go first.
KEPT_BYTES = 65536


@dataclass
class Line:
    """One board, its door, and whoever came through it last.

    Attributes:
        board: The link to the board.
        door: Where clients dial.
        client: The link to the client; None while there is none.
        up: Bytes from the board that the client has not taken.
        down: Bytes from the client that the board has not taken.
    """

    board: Link
    door: Listener = field(default_factory=Listener)
    client: Link | None = None
    up: bytes = b""
    down: bytes = b""

    def pump(self) -> None:
        """Moves what can be moved, both ways.

        Raises:
            LinkClosed: The board is gone; a client that leaves is let go.
        """
        newcomer = self.door.accept()
        if newcomer is not None:
            if self.client is not None:
                self.client.close()
            self.client = newcomer
        self.up = (self.up + self.board.read())[-KEPT_BYTES:]
        if self.client is not None:
            try:
                self.down += self.client.read()
                self.up = self.up[self.client.write(self.up) :] if self.up else b""
            except LinkClosed:
                self.client.close()
                self.client = None
        if self.down:
            self.down = self.down[self.board.write(self.down) :]


class Relay:
    """Doors for a number of boards.

    Args:
        endpoints: The boards, started.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._lines = {endpoint.device: Line(endpoint.link) for endpoint in endpoints}

    def url(self, device: int) -> str:
        """Where to dial a board."""
        return f"tcp://{self._lines[device].door.address}"

    def serve(self) -> None:
        """Moves bytes until interrupted.

        Raises:
            LinkClosed: A board is gone.
        """
        while True:
            with selectors.DefaultSelector() as selector:
                for line in self._lines.values():
                    for end in (line.board, line.door, line.client):
                        if end is not None:
                            selector.register(end, selectors.EVENT_READ)
                # A writer that is full is tried again soon; nothing else needs a timeout.
                waiting = any(
                    line.down or (line.up and line.client) for line in self._lines.values()
                )
                selector.select(0.01 if waiting else None)
            for line in self._lines.values():
                line.pump()

    def close(self) -> None:
        """Closes the doors and lets clients go."""
        for line in self._lines.values():
            line.door.close()
            if line.client is not None:
                with contextlib.suppress(LinkClosed):
                    line.client.close()
