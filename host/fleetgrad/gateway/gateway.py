# SPDX-License-Identifier: Apache-2.0
"""The loop of a gateway: sessions with boards on one side, their proxies at a broker on the other.

A round's parameters go down to a board once the host has sent them here; its update is taken into
custody, on disk, before the host is offered it. So neither side needs the other to be there: boards
work while the broker is away, and a board may leave once its update is here.
"""

from __future__ import annotations

import queue
import secrets
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fleetgrad.device import (
    Arrived,
    DeviceEvent,
    DeviceSession,
    Expected,
    Identity,
    Lost,
    Refused,
    Spoiled,
    Unable,
)
from fleetgrad.errors import LinkClosed, StoreError
from fleetgrad.fleet import Sighting
from fleetgrad.gateway.custody import Custody
from fleetgrad.gateway.proxy import Called, Proxy, ProxyEvent, Settled, Wanted
from fleetgrad.link import Link, MqttClient, SocketLink, socket_pair
from fleetgrad.wire import topics
from fleetgrad.wire.messages import ErrorCode

_LOOK_S = 0.5  # between two looks at ports
_WAIT_S = 0.2  # of waiting for bytes, at most


@dataclass
class Desk:
    """One board, and how it looks to the host.

    Attributes:
        session: With the board.
        link: To the board.
        proxy: For the host.
        unsent: Bytes that the link has not taken.
    """

    session: DeviceSession
    link: Link
    proxy: Proxy
    unsent: bytes = b""


class Gateway:
    """Boards on one side, a broker on the other.

    Args:
        fleet: The fleet's name at the broker.
        expected: What a board must be, for its id.
        custody: Keeps updates.
        tell: Is told what happens.
    """

    def __init__(
        self,
        fleet: str,
        expected: Callable[[int], Expected],
        custody: Custody,
        tell: Callable[[str], None],
    ) -> None:
        self._fleet = fleet
        self._expected = expected
        self._custody = custody
        self._tell = tell
        self._starts = custody.count_start()
        self._desks: dict[int, Desk] = {}
        self._inbox: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        self._bell, self._door = socket_pair("the gateway's inbox")
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._door, selectors.EVENT_READ, None)
        self._client: MqttClient | None = None

    def receive(self, topic: str, data: bytes) -> None:
        """Takes a record from the broker, in any thread."""
        found = topics.device_of(topic)
        if found is not None and found[1] == "dn":
            self._inbox.put((found[0], data))
            self._bell.write(b"!")

    def serve(
        self,
        client: MqttClient,
        look: Callable[[], Sequence[Sighting]],
        link: Callable[[int], SocketLink],
        stopped: Callable[[], bool],
    ) -> None:
        """Works until it is told to stop.

        Args:
            client: Of the broker; its records come to :meth:`receive`.
            look: Which boards are on which ports now.
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
                            self._meet(sighting.identity, link, now)
                self._turn()
        finally:
            for device in self._desks:
                client.publish(topics.topic(self._fleet, device, "presence"), b"", retain=True)

    def close(self) -> None:
        """Ends the gateway's own links."""
        self._selector.close()
        self._bell.close()
        self._door.close()

    def _meet(self, identity: Identity, link: Callable[[int], SocketLink], now: float) -> None:
        """A board that was not there before gets a desk."""
        device = identity.device
        if device in self._desks:
            return
        expected = self._expected(device)
        if identity.model_digest != expected.model_digest:
            self._tell(
                f"device {device:016x} runs the model {identity.model_digest.hex()}, this fleet"
                f" trains {expected.model_digest.hex()}: rebuild and flash its firmware"
            )
        seen = replace(identity, boots=self._starts)
        desk = Desk(
            DeviceSession(expected, secrets.randbits(32) or 1, now),
            link(device),
            Proxy(seen, self._custody.find(device)),
        )
        self._desks[device] = desk
        self._selector.register(desk.link, selectors.EVENT_READ, device)
        assert self._client is not None
        self._client.subscribe(topics.topic(self._fleet, device, "dn"))
        presence = topics.topic(self._fleet, device, "presence")
        self._client.publish(presence, desk.proxy.presence(), retain=True)
        self._tell(f"device {device:016x} is at the broker")

    def _turn(self) -> None:
        """Everything that bytes and time make due, once."""
        for key, _ in self._selector.select(self._pause()):
            if key.data is None:
                self._door.read()
            else:
                self._listen(key.data)
        while not self._inbox.empty():
            device, data = self._inbox.get()
            if device in self._desks:
                for event in self._desks[device].proxy.receive(data):
                    self._from_host(device, event)
        now = time.monotonic()
        for device, desk in self._desks.items():
            for happened in desk.session.tick(now):
                self._from_board(device, happened)
            self._talk(device, desk, now)

    def _pause(self) -> float:
        now = time.monotonic()
        pauses = [_WAIT_S]
        for desk in self._desks.values():
            pause = desk.session.wait(now)
            if pause is not None:
                pauses.append(pause)
            due = desk.proxy.wait(round(now * 1000))
            if due is not None and self._client is not None and self._client.connected:
                pauses.append(due / 1000)
        return max(0.0, min(pauses))

    def _listen(self, device: int) -> None:
        desk = self._desks[device]
        try:
            data = desk.link.read()
        except LinkClosed:
            self._selector.unregister(desk.link)
            return
        for event in desk.session.receive(data, time.monotonic()):
            self._from_board(device, event)

    def _talk(self, device: int, desk: Desk, now: float) -> None:
        """Hands links and broker what they take."""
        if not desk.unsent:
            desk.unsent = desk.session.take(now)
        if desk.unsent:
            try:
                desk.unsent = desk.unsent[desk.link.write(desk.unsent) :]
            except LinkClosed:
                desk.unsent = b""
        assert self._client is not None
        if not self._client.connected:  # nothing is said into the void, and no timeout runs
            return
        records, _ = topics.records(desk.proxy.take(round(now * 1000)))
        name = topics.topic(self._fleet, device, "up")
        self._client.send((name, record) for record in records)

    def _from_host(self, device: int, event: ProxyEvent) -> None:
        desk = self._desks[device]
        match event:
            case Wanted():
                desk.session.open_round(event.terms, event.vector, time.monotonic())
                self._tell(f"device {device:016x}: round {event.terms.round} goes down")
            case Settled():
                desk.session.receipt(event.round, event.verdict)
                self._custody.drop(device)
                self._tell(f"device {device:016x}: round {event.round} is settled")
            case Called():
                desk.session.abandon_round()
                self._custody.drop(device)

    def _from_board(self, device: int, event: DeviceEvent) -> None:
        desk = self._desks[device]
        terms = desk.proxy.terms
        match event:
            case Arrived() | Spoiled() if terms is not None and terms.round == event.round:
                # Spoiled ones too: whether an update counts is the host's to say, and to record.
                blob = event.update.blob if isinstance(event, Arrived) else event.blob
                try:
                    self._custody.keep(device, terms, blob)
                except StoreError as error:
                    self._tell(f"{error.what}: device {device:016x} keeps its update")
                desk.proxy.offer(blob)
                self._tell(f"device {device:016x}: the update of round {event.round} is here")
            case Unable() if terms is not None and terms.round == event.round:
                self._tell(f"device {device:016x}: {event.reason}")
                desk.proxy.refuse(ErrorCode.FAILED)
            case Refused() | Lost():
                self._tell(f"device {device:016x}: {event.reason}")
            case _:
                pass
