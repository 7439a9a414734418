# SPDX-License-Identifier: Apache-2.0
"""Where a gateway meets its boards: their sessions, and bytes between them and their links."""

from __future__ import annotations

import secrets
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass

from fleetgrad.device import (
    Board,
    BoardSession,
    DeviceEvent,
    DeviceSession,
    Expected,
    GatewaySession,
    Identity,
)
from fleetgrad.errors import LinkClosed
from fleetgrad.fleet import Sighting
from fleetgrad.link import Link, SocketLink, Switchboard, SwitchedLink, socket_pair


@dataclass
class Desk:
    """One board, or a gateway that sums and has boards of its own.

    Attributes:
        session: With it.
        link: To it.
        unsent: Bytes that the link has not taken.
    """

    session: DeviceSession | GatewaySession
    link: Link
    unsent: bytes = b""


class Boards:
    """All boards of a gateway.

    Args:
        expected: What a board must be, for its id.
        tell: Is told what happens.
        numbers: How many weights the strategy sums.
    """

    def __init__(
        self,
        expected: Callable[[int], Expected],
        tell: Callable[[str], None],
        numbers: int = 1,
    ) -> None:
        self._numbers = numbers
        self._voices: dict[int, DeviceSession | BoardSession] = {}
        self._expected = expected
        self._tell = tell
        self._desks: dict[int, Desk] = {}
        self._news: list[DeviceEvent] = []
        self._bell, self._door = socket_pair("the gateway's inbox")
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._door, selectors.EVENT_READ, None)
        self._switchboards: set[Switchboard] = set()

    def __contains__(self, device: object) -> bool:
        return device in self._voices

    def wake(self) -> None:
        """Ends a wait, from any thread."""
        self._bell.write(b"!")

    def session(self, device: int) -> DeviceSession | BoardSession:
        """With a board, or a gateway, that has been met."""
        return self._voices[device]

    def meet(
        self, sighting: Sighting, link: Callable[[int], SocketLink | SwitchedLink]
    ) -> list[Identity]:
        """Gives a board, or a gateway, a desk; gives back the boards that are new."""
        identity = sighting.identity
        assert identity is not None
        if identity.device not in self._desks:
            self._seat(identity, link, gateway=bool(sighting.boards))
            if not sighting.boards:
                return [identity]
        session = self._desks[identity.device].session
        if not isinstance(session, GatewaySession):
            return []
        fresh = [board for board in sighting.boards if board.device not in self._voices]
        for board in fresh:
            self._voices[board.device] = session.board(board.device)
        self._news += session.know(
            [Board(board.device, board.train_samples, board.eval_samples) for board in fresh]
        )
        return fresh

    def allow(self, wait_s: float) -> None:
        """How long gateways below may wait for their boards."""
        for desk in self._desks.values():
            if isinstance(desk.session, GatewaySession):
                desk.session.wait_s = wait_s

    def _seat(
        self,
        identity: Identity,
        link: Callable[[int], SocketLink | SwitchedLink],
        *,
        gateway: bool,
    ) -> None:
        device = identity.device
        expected = self._expected(device)
        if identity.model_digest != expected.model_digest:
            self._tell(
                f"device {device:016x} runs the model {identity.model_digest.hex()}, this fleet"
                f" trains {expected.model_digest.hex()}: rebuild and flash its firmware"
            )
        session = DeviceSession(expected, secrets.randbits(32) or 1, time.monotonic())
        way = link(device)
        if gateway:
            whole = GatewaySession(session, expected, (), numbers=self._numbers, wait_s=0.0)
            self._desks[device], self._voices[device] = Desk(whole, way), whole.board(device)
        else:
            self._desks[device], self._voices[device] = Desk(session, way), session
        if not isinstance(way, SwitchedLink):
            self._selector.register(way, selectors.EVENT_READ, device)
        elif way.board not in self._switchboards:
            self._switchboards.add(way.board)
            self._selector.register(way.board, selectors.EVENT_READ, way.board)

    def listen(self, wait: float) -> list[DeviceEvent]:
        """What boards say, and what time makes of those that say nothing.

        Args:
            wait: Seconds, at most.
        """
        found, self._news = self._news, []
        for key, _ in self._selector.select(self._pause(wait)):
            if key.data is None:
                self._door.read()
                continue
            ready = key.data.ready() if isinstance(key.data, Switchboard) else [key.data]
            for device in ready:
                found += self._hear(device)
        now = time.monotonic()
        for desk in self._desks.values():
            found += desk.session.tick(now)
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
