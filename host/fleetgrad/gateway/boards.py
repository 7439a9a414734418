# SPDX-License-Identifier: Apache-2.0
"""Where a gateway meets its boards: their sessions, and bytes between them and their links."""

from __future__ import annotations

import secrets
import selectors
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fleetgrad.device import DeviceEvent, DeviceSession, Expected, Identity
from fleetgrad.errors import LinkClosed
from fleetgrad.link import Link, SocketLink, Switchboard, SwitchedLink, socket_pair


@dataclass
class Desk:
    """One board.

    Attributes:
        session: With it.
        link: To it.
        unsent: Bytes that the link has not taken.
    """

    session: DeviceSession
    link: Link
    unsent: bytes = b""


class Boards:
    """All boards of a gateway.

    Args:
        expected: What a board must be, for its id.
        tell: Is told what happens.
    """

    def __init__(self, expected: Callable[[int], Expected], tell: Callable[[str], None]) -> None:
        self._expected = expected
        self._tell = tell
        self._desks: dict[int, Desk] = {}
        self._bell, self._door = socket_pair("the gateway's inbox")
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._door, selectors.EVENT_READ, None)
        self._switchboards: set[Switchboard] = set()

    def __contains__(self, device: object) -> bool:
        return device in self._desks

    def __iter__(self) -> Iterator[int]:
        return iter(self._desks)

    def wake(self) -> None:
        """Ends a wait, from any thread."""
        self._bell.write(b"!")

    def session(self, device: int) -> DeviceSession:
        """With a board that has been met."""
        return self._desks[device].session

    def meet(self, identity: Identity, link: Callable[[int], SocketLink | SwitchedLink]) -> bool:
        """Gives a board a desk; False where it has one."""
        device = identity.device
        if device in self._desks:
            return False
        expected = self._expected(device)
        if identity.model_digest != expected.model_digest:
            self._tell(
                f"device {device:016x} runs the model {identity.model_digest.hex()}, this fleet"
                f" trains {expected.model_digest.hex()}: rebuild and flash its firmware"
            )
        session = DeviceSession(expected, secrets.randbits(32) or 1, time.monotonic())
        way = link(device)
        self._desks[device] = Desk(session, way)
        if not isinstance(way, SwitchedLink):
            self._selector.register(way, selectors.EVENT_READ, device)
        elif way.board not in self._switchboards:
            self._switchboards.add(way.board)
            self._selector.register(way.board, selectors.EVENT_READ, way.board)
        return True

    def listen(self, wait: float) -> list[tuple[int, DeviceEvent]]:
        """What boards say, and what time makes of those that say nothing.

        Args:
            wait: Seconds, at most.
        """
        found: list[tuple[int, DeviceEvent]] = []
        for key, _ in self._selector.select(self._pause(wait)):
            if key.data is None:
                self._door.read()
                continue
            ready = key.data.ready() if isinstance(key.data, Switchboard) else [key.data]
            for device in ready:
                found += ((device, event) for event in self._hear(device))
        now = time.monotonic()
        for device, desk in self._desks.items():
            found += ((device, event) for event in desk.session.tick(now))
        return found

    def talk(self) -> None:
        """Hands links what they take."""
        now = time.monotonic()
        for desk in self._desks.values():
            if not desk.unsent:
                desk.unsent = desk.session.take(now)
            if desk.unsent:
                try:
                    desk.unsent = desk.unsent[desk.link.write(desk.unsent) :]
                except LinkClosed:
                    desk.unsent = b""
        for board in self._switchboards:
            board.flush()

    def close(self) -> None:
        """Ends what is the gateway's own; boards' links are their fleet's."""
        self._selector.close()
        self._bell.close()
        self._door.close()

    def _hear(self, device: int) -> list[DeviceEvent]:
        desk = self._desks[device]
        try:
            data = desk.link.read()
        except LinkClosed:
            if not isinstance(desk.link, SwitchedLink):
                self._selector.unregister(desk.link)
            return []
        return desk.session.receive(data, time.monotonic())

    def _pause(self, wait: float) -> float:
        now = time.monotonic()
        pauses = (desk.session.wait(now) for desk in self._desks.values())
        return max(0.0, min([wait, *(pause for pause in pauses if pause is not None)]))
