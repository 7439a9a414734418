# SPDX-License-Identifier: Apache-2.0
"""Devices behind an MQTT broker: who is there says so, and every device has a line of its own."""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetgrad.device import Identity, identify
from fleetgrad.errors import FleetError, LinkClosed
from fleetgrad.fleet.base import Endpoint, Member, Placement
from fleetgrad.fleet.descriptors import allow_links
from fleetgrad.link import BrokerAddress, Certificates, MqttClient, SocketLink, socket_pair
from fleetgrad.wire import topics

_QUIET_S = 1.0  # without anyone new: all who are there have said so
_LOOK_S = 0.2


class MqttFleet:
    """The devices of one fleet at one broker.

    Args:
        address: The broker.
        certificates: For TLS.
        name: The fleet's name: part of every topic.
        devices: How many to wait for; 0: until no more of them appear.
        tell: Is told of the broker's comings and goings, from other threads.
    """

    kind = "mqtt"

    def __init__(
        self,
        address: BrokerAddress,
        certificates: Certificates,
        name: str,
        devices: int = 0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._address = address
        self._certificates = certificates
        self._name = name
        self._devices = devices
        self._tell = tell
        self._changed = threading.Condition()
        self._present: dict[int, Identity] = {}
        self._lines: dict[int, tuple[SocketLink, SocketLink]] = {}
        self._client: MqttClient | None = None
        self._sender: threading.Thread | None = None
        self._stopping = threading.Event()

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
        allow_links(len(placements))
        with self._changed:
            for placement in placements:
                self._lines[placement.device] = socket_pair(f"device {placement.device}")
        client = self._connected()
        self._sender = threading.Thread(target=self._send, args=(client,), name="mqtt", daemon=True)
        self._sender.start()
        return [
            Endpoint(
                placement.device,
                self._lines[placement.device][0],
                f"{self._address}/{topics.topic(self._name, placement.device, 'up')}",
                None,
                topics.RECORD_PAYLOAD,
            )
            for placement in placements
        ]

    def stop(self) -> None:
        """See :class:`fleetgrad.fleet.Fleet`; the devices run on."""
        self._stopping.set()
        if self._sender is not None:
            self._sender.join()
            self._sender = None
        if self._client is not None:
            self._client.close()
            self._client = None
        for ends in self._lines.values():
            for end in ends:
                end.close()
        self._lines.clear()

    def _connected(self) -> MqttClient:
        if self._client is None:
            host = f"fleetgrad-{self._name}"
            self._client = MqttClient(
                self._address, self._certificates, host, self._receive, self._tell
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
        with self._changed:
            if leaf == "up":
                if device in self._lines:
                    self._lines[device][1].write(data)
                return
            identity = identify(data)
            if identity is not None and identity.device == device:
                self._present[device] = identity
            else:
                self._present.pop(device, None)
            self._changed.notify_all()

    def _send(self, client: MqttClient) -> None:
        """Frames of the sessions, each as a record to its device."""
        rest = dict.fromkeys(self._lines, b"")
        with selectors.DefaultSelector() as selector:
            for device, (_, panel) in self._lines.items():
                selector.register(panel, selectors.EVENT_READ, device)
            while True:
                # What was said before the end still leaves: the last receipts.
                ending = self._stopping.is_set()
                ready = selector.select(0.0 if ending else _LOOK_S)
                if ending and not ready:
                    return
                for key, _ in ready:
                    device = key.data
                    try:
                        data = self._lines[device][1].read()
                    except LinkClosed:
                        selector.unregister(key.fileobj)
                        continue
                    whole, rest[device] = topics.records(rest[device] + data)
                    for record in whole:
                        client.send(topics.topic(self._name, device, "dn"), record)
