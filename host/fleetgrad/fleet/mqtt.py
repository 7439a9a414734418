# SPDX-License-Identifier: Apache-2.0
"""Devices behind an MQTT broker: who is there says so, and every device has a line of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetgrad.device import Identity, identify
from fleetgrad.errors import FleetError
from fleetgrad.fleet.base import Endpoint, Member, Placement
from fleetgrad.link import BrokerAddress, Certificates, MqttClient, Switchboard
from fleetgrad.link.embedded import EmbeddedBroker
from fleetgrad.wire import topics

_QUIET_S = 1.0  # without anyone new: all who are there have said so
_ROOM = 1 << 16  # bytes of a device that nobody has read yet


class MqttFleet:
    """The devices of one fleet at one broker.

    Args:
        address: The broker.
        certificates: For TLS.
        name: The fleet's name: part of every topic.
        devices: How many to wait for; 0: until no more of them appear.
        tell: Is told of the broker's comings and goings, from other threads.
        record: The longest record that broker and devices' clients take, in bytes.
        embedded: The port of a broker of our own, which is there while the fleet is; None: the
            broker is another process.
    """

    kind = "mqtt"

    def __init__(
        self,
        address: BrokerAddress,
        certificates: Certificates,
        name: str,
        devices: int = 0,
        tell: Callable[[str], None] = lambda _: None,
        *,
        record: int = topics.RECORD_BYTES,
        embedded: int | None = None,
    ) -> None:
        self._embedded = embedded
        self._broker: EmbeddedBroker | None = None
        self._record = record
        self._address = address
        self._certificates = certificates
        self._name = name
        self._devices = devices
        self._tell = tell
        self._changed = threading.Condition()
        self._present: dict[int, Identity] = {}
        self._client: MqttClient | None = None
        self._board: Switchboard | None = None
        self._rests: dict[int, bytes] = {}  # of what is not a whole frame yet

    def discover(self, wait_s: float) -> list[Member]:
        """The devices that are present, by id.

        Args:
            wait_s: How long to wait for them at most.

        Raises:
            LinkError: The broker cannot be used.
            FleetError: No device is there.
        """
        self._connected()
        until = time.monotonic() + wait_s
        with self._changed:
            while True:
                known = len(self._present)
                left = until - time.monotonic()
                enough = bool(self._devices) and known >= self._devices
                if left <= 0 or enough:
                    break
                self._changed.wait(min(left, _QUIET_S))
                if not self._devices and known and len(self._present) == known:
                    break
            found = [self._present[device] for device in sorted(self._present)]
        if not found:
            raise FleetError(
                f"no device of the fleet {self._name!r} is present",
                where=str(self._address),
                expected=f"HELLOs on {topics.every(self._name, 'presence')}",
                hint="check fleet.name, and that the devices reach the same broker",
            )
        return [
            Member.of(identity, topics.topic(self._name, identity.device, "up"))
            for identity in found
        ]

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See :class:`fleetgrad.fleet.Fleet`; the devices have their data, and run."""
        del directory
        client = self._connected()
        self._board = Switchboard(self._send, lambda: client.room, _ROOM)
        self._rests = {}
        return [
            Endpoint(
                placement.device,
                self._board.link(placement.device),
                f"{self._address}/{topics.topic(self._name, placement.device, 'up')}",
                None,
                topics.payload_of(self._record),
            )
            for placement in placements
        ]

    def stop(self) -> None:
        """See :class:`fleetgrad.fleet.Fleet`; the devices run on."""
        if self._client is not None:
            self._client.close()  # what was said still leaves: the last receipts
            self._client = None
        if self._board is not None:
            self._board.close()
            self._board = None
        if self._broker is not None:
            self._broker.close()
            self._broker = None

    def _connected(self) -> MqttClient:
        if self._client is None:
            if self._embedded is not None:
                self._broker = EmbeddedBroker(self._embedded)
            host = f"fleetgrad-{self._name}"
            self._client = MqttClient(
                self._address,
                self._certificates,
                host,
                self._receive,
                self._tell,
                settled=self._settled,
                modern=self._embedded is None,
            )
            for leaf in ("presence", "up"):
                self._client.subscribe(topics.every(self._name, leaf))
        return self._client

    def _receive(self, topic: str, data: bytes) -> None:
        """A record from the broker; one for which there is no room is lost, and sent again."""
        found = topics.device_of(topic)
        if found is None:
            return
        device, leaf = found
        if leaf == "up":
            if self._board is not None:
                self._board.deliver(device, data)
            return
        with self._changed:
            identity = identify(data)
            if identity is not None and identity.device == device:
                self._present[device] = identity
            else:
                self._present.pop(device, None)
            self._changed.notify_all()

    def _settled(self) -> None:
        """The broker has taken what was said: there is room for more."""
        if self._board is not None and self._board.holding:
            self._board.ring()

    def _send(self, given: Sequence[tuple[int, bytes]]) -> None:
        """Frames of sessions as records to their devices."""
        assert self._client is not None
        streams: dict[int, bytes] = {}
        for device, data in given:
            streams[device] = streams.get(device, b"") + data
        found: list[tuple[str, bytes]] = []
        for device, stream in streams.items():
            whole, rest = topics.records(self._rests.pop(device, b"") + stream, self._record)
            if rest:
                self._rests[device] = rest
            name = topics.topic(self._name, device, "dn")
            found += ((name, record) for record in whole)
        self._client.send(found)
