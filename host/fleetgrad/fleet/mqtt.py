# SPDX-License-Identifier: Apache-2.0
"""Devices behind an MQTT broker: who is there says so, and every device has a line of its own."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fleetgrad.device import Board, Identity, identify_all
from fleetgrad.errors import FleetError
from fleetgrad.fleet.base import Announcement, Endpoint, Member, Placement
from fleetgrad.fleet.panel import Sighting
from fleetgrad.link import BrokerAddress, Certificates, MqttClient, Switchboard, SwitchedLink
from fleetgrad.link.embedded import EmbeddedBroker
from fleetgrad.wire import topics
from fleetgrad.wire.framing import DELIMITER

_TAKEOVERS = 6  # so many appearances ...
_TAKEOVERS_S = 20.0  # ... within so long are no accident
_QUIET_S = 1.0  # without anyone new: all who are there have said so
_APPEARANCE_S = 5.0  # what is retained comes with the subscription; who is away now may come back
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
        shard: Which part of the devices, and of how many parts; None: all of them.
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
        shard: tuple[int, int] | None = None,
        embedded: int | None = None,
    ) -> None:
        self._embedded = embedded
        self._broker: EmbeddedBroker | None = None
        self._record = record
        self._shard = shard
        self._address = address
        self._certificates = certificates
        self._name = name
        self._devices = devices
        self._tell = self._remarking(tell)
        self._changed = threading.Condition()
        self._remarks: list[tuple[int | None, str]] = []
        self._appeared: dict[int, deque[float]] = {}
        self._present: dict[int, Identity] = {}
        self._gateways: dict[int, list[Identity]] = {}  # each, then the boards behind it
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
                known = len(self._found())
                left = until - time.monotonic()
                enough = bool(self._devices) and known >= self._devices
                if left <= 0 or enough:
                    break
                self._changed.wait(min(left, _QUIET_S))
                if not self._devices and known and len(self._found()) == known:
                    break
            found = self._found()
        if not found:
            raise FleetError(
                f"no device of the fleet {self._name!r} is present",
                where=str(self._address),
                expected=f"HELLOs on {topics.every(self._name, 'presence')}",
                hint="check fleet.name, and that the devices reach the same broker",
            )
        return [found[device] for device in sorted(found)]

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See :class:`fleetgrad.fleet.Fleet`; the devices have their data, and run."""
        del directory
        self._connected()
        found = self._await({placement.device for placement in placements})
        behind: dict[int, list[Board]] = {}
        endpoints = []
        for placement in placements:
            member = found.get(placement.device)
            if member is None or member.gateway is None:
                endpoints.append(self._endpoint(placement.device))
            else:
                board = Board(member.device, member.train_samples, member.eval_samples)
                behind.setdefault(member.gateway, []).append(board)
        return endpoints + [
            replace(self._endpoint(gateway), max_payload=None, boards=tuple(boards))
            for gateway, boards in behind.items()
        ]

    def announce(self, announcement: Announcement) -> None:
        """See :class:`fleetgrad.fleet.Herald`: retained, as JSON in one record."""
        text = json.dumps(
            {
                "run": announcement.run_id,
                "round": announcement.round,
                "version": announcement.version,
                "digest": announcement.digest.hex(),
            },
            separators=(",", ":"),
        )
        self._connected().publish(topics.model(self._name), text.encode(), retain=True)

    def remarks(self) -> list[tuple[int | None, str]]:
        """See :class:`fleetgrad.fleet.Witness`."""
        with self._changed:
            found, self._remarks = self._remarks, []
        return found

    def _remarking(self, tell: Callable[[str], None]) -> Callable[[str], None]:
        """What the client tells is for the run's story as well."""

        def both(text: str) -> None:
            with self._changed:
                self._remarks.append((None, text))
            tell(text)

        return both

    def sightings(self) -> list[Sighting]:
        """Devices that are present now, for whoever takes them as they come and go."""
        self._connected()
        with self._changed:
            present = [self._present[device] for device in sorted(self._present)]
            gateways = [tuple(self._gateways[device]) for device in sorted(self._gateways)]
        found = [Sighting(f"{i.device:016x}", i, "") for i in present]
        return found + [
            Sighting(f"{gateway.device:016x}", gateway, "", boards=tuple(boards))
            for gateway, *boards in gateways
        ]

    def link(self, device: int) -> SwitchedLink:
        """The way to a device."""
        client = self._connected()
        if self._board is None:
            self._board = Switchboard(self._send, lambda: client.room, _ROOM)
        return self._board.link(device)

    def _endpoint(self, device: int) -> Endpoint:
        url = f"{self._address}/{topics.topic(self._name, device, 'up')}"
        return Endpoint(device, self.link(device), url, None, topics.payload_of(self._record))

    def _found(self) -> dict[int, Member]:
        """Everybody who is present, those behind gateways included."""
        up = {d: topics.topic(self._name, d, "up") for d in (*self._present, *self._gateways)}
        found = {d: Member.of(identity, up[d]) for d, identity in self._present.items()}
        for gateway, (_, *boards) in self._gateways.items():
            for board in boards:
                found[board.device] = Member.of(board, f"{up[gateway]}:{board.device:x}", gateway)
        return found

    def _await(self, wanted: set[int]) -> dict[int, Member]:
        """Everybody who is present, once that is everybody who is wanted; it may take a while."""
        until = time.monotonic() + _APPEARANCE_S
        with self._changed:
            while not wanted <= set(found := self._found()):
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
        return found

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
            if self._shard is not None:
                host += "-{}-of-{}".format(*self._shard)
            self._client = MqttClient(
                self._address,
                self._certificates,
                host,
                self._receive,
                self._tell,
                settled=self._settled,
                modern=self._embedded is None,
            )
            for leaf in ("gateway", "presence", "up"):
                for wanted in self._topics(leaf):
                    self._client.subscribe(wanted)
        return self._client

    def _topics(self, leaf: str) -> list[str]:
        if self._shard is None:
            return [topics.every(self._name, leaf)]
        return topics.shard(self._name, leaf, *self._shard)

    def _receive(self, topic: str, data: bytes) -> None:
        """A record from the broker; one for which there is no room is lost, and sent again."""
        found = topics.device_of(topic)
        if found is None:
            return
        device, leaf = found
        if leaf == "up":
            if self._board is not None:
                # A record ends its frame: what does not is no reason to lose the next one.
                whole = data if data.endswith(DELIMITER) else data + DELIMITER
                self._board.deliver(device, whole)
            return
        identities = identify_all(data)
        with self._changed:
            if leaf == "gateway":
                self._gateways.pop(device, None)
                if identities and identities[0].device == device:
                    self._gateways[device] = identities
            elif identities and identities[0].device == device:
                self._doubt(identities[0])
                self._present[device] = identities[0]
            else:
                self._present.pop(device, None)
            self._changed.notify_all()

    def _doubt(self, identity: Identity) -> None:
        """Two clients with one id throw each other out, and each comes back at once."""
        device, now = identity.device, time.monotonic()
        moments = self._appeared.setdefault(device, deque(maxlen=_TAKEOVERS))
        moments.append(now)
        before = self._present.get(device)
        if before is not None and before.boots > identity.boots:
            text = f"it says that it has started {identity.boots} times, after {before.boots}"
        elif len(moments) == _TAKEOVERS and now - moments[0] < _TAKEOVERS_S:
            text = f"it came {_TAKEOVERS} times in {now - moments[0]:.0f} s"
            moments.clear()
        else:
            return
        self._remarks.append((device, f"{text}: do two devices have its id?"))

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
