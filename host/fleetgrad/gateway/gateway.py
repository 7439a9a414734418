# SPDX-License-Identifier: Apache-2.0
"""The loop of a gateway: sessions with boards on one side, a broker on the other.

A round's parameters go down to a board once the host has sent them here; its update is taken into
custody, on disk, before the host is offered it. So neither side needs the other to be there: boards
work while the broker is away, and a board may leave once its update is here.

How the boards look to the host is the front's to decide: each by itself, or as a sum.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from fleetgrad.device import DeviceEvent, Identity
from fleetgrad.fleet import Sighting
from fleetgrad.gateway.boards import Boards
from fleetgrad.link import MqttClient, SocketLink, SwitchedLink
from fleetgrad.wire import topics

_LOOK_S = 0.5  # between two looks at ports
_WAIT_S = 0.2  # of waiting for bytes, at most


class Front(Protocol):
    """What the host sees of a gateway, as messages to and from ids at the broker."""

    @property
    def sums(self) -> bool:
        """Whether it can do with sums of gateways below."""

    def meet(self, identity: Identity) -> list[tuple[int, str, bytes]]:
        """A board is here; gives what must be known from now on: id, topic and bytes to retain."""

    def leave(self) -> list[tuple[int, str, bytes]]:
        """The gateway stops; gives what must be known from now on."""

    def addresses(self) -> Sequence[int]:
        """Ids for which the host may have something to say."""

    def receive(self, address: int, data: bytes) -> None:
        """Bytes from the host."""

    def hear(self, event: DeviceEvent) -> None:
        """News of a board."""

    def take(self, now: float) -> list[tuple[int, bytes]]:
        """Bytes for the host, each with the id that they are from."""

    def wait(self, now: float) -> float | None:
        """Seconds until :meth:`take` has something without anybody's doing; None: never."""


class Gateway:
    """Boards on one side, a broker on the other.

    Args:
        fleet: The fleet's name at the broker.
        boards: The boards.
        front: What the host sees of them.
        tell: Is told what happens.
    """

    def __init__(
        self, fleet: str, boards: Boards, front: Front, tell: Callable[[str], None]
    ) -> None:
        self._fleet = fleet
        self._boards = boards
        self._front = front
        self._tell = tell
        self._inbox: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        self._known: set[int] = set()
        self._refused: set[str] = set()
        self._client: MqttClient | None = None

    def receive(self, topic: str, data: bytes) -> None:
        """Takes a record from the broker, in any thread."""
        found = topics.device_of(topic)
        if found is not None and found[1] == "dn":
            self._inbox.put((found[0], data))
            self._boards.wake()

    def serve(
        self,
        client: MqttClient,
        look: Callable[[], Sequence[Sighting]],
        link: Callable[[int], SocketLink | SwitchedLink],
        stopped: Callable[[], bool],
    ) -> None:
        """Works until it is told to stop.

        Args:
            client: Of the broker; its records come to :meth:`receive`.
            look: Which boards are there now.
            link: The way to a board.
            stopped: Whether to stop.
        """
        self._client = client
        looked = 0.0
        try:
            while not stopped():
                now = time.monotonic()
                if now - looked >= _LOOK_S:
                    looked = now
                    for sighting in look():
                        if sighting.identity is not None:
                            self._meet(sighting, link)
                self._turn()
        finally:
            self._retain(self._front.leave())

    def _meet(self, sighting: Sighting, link: Callable[[int], SocketLink | SwitchedLink]) -> None:
        """A board that was not there before gets a desk."""
        if sighting.boards and not self._front.sums:
            if sighting.url not in self._refused:
                self._refused.add(sighting.url)
                self._tell(f"gateway {sighting.url} sends sums, which takes --aggregate here too")
            return
        for identity in self._boards.meet(sighting, link):
            self._introduce(identity)

    def _introduce(self, identity: Identity) -> None:
        told = self._front.meet(identity)
        assert self._client is not None
        for address in self._front.addresses():
            if address not in self._known:
                self._known.add(address)
                self._client.subscribe(topics.topic(self._fleet, address, "dn"))
        self._retain(told)
        self._tell(f"device {identity.device:016x} is at the broker")

    def _retain(self, told: Sequence[tuple[int, str, bytes]]) -> None:
        assert self._client is not None
        for address, leaf, data in told:
            self._client.publish(topics.topic(self._fleet, address, leaf), data, retain=True)

    def _turn(self) -> None:
        """Everything that bytes and time make due, once."""
        assert self._client is not None
        pause = self._front.wait(time.monotonic()) if self._client.connected else None
        wait = _WAIT_S if pause is None else min(_WAIT_S, pause)
        for event in self._boards.listen(wait):
            self._front.hear(event)
        while not self._inbox.empty():
            address, data = self._inbox.get()
            if address in self._known:
                self._front.receive(address, data)
        self._boards.talk()
        if not self._client.connected:  # nothing is said into the void, and no timeout runs
            return
        for address, data in self._front.take(time.monotonic()):
            name = topics.topic(self._fleet, address, "up")
            self._client.send((name, record) for record in topics.records(data)[0])
