# SPDX-License-Identifier: Apache-2.0
"""A herd of made-up devices in a process of its own: as many links, sessions and updates as asked.

They speak the whole protocol, and answer a round at once with deltas that anybody can compute.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import struct
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetgrad.device import Identity
from fleetgrad.errors import LinkClosed
from fleetgrad.fleet import Endpoint, Member, Placement
from fleetgrad.gateway.proxy import Proxy, Wanted
from fleetgrad.link import SocketLink
from fleetgrad.wire.messages import UpdateHeader

from .made_up import Head

_POOL = 1 << 20
_SWEEP_S = 0.5


def samples_of(device: int) -> int:
    """How many samples a device claims."""
    return 1 + device % 97


class Deltas:
    """The updates of all devices.

    Args:
        head: What they train.
    """

    def __init__(self, head: Head) -> None:
        self._count = sum(count for _, count in head.segments)
        drawn = np.random.default_rng(1).integers(-127, 128, _POOL + self._count)
        self._pool = drawn.astype(np.int8)

    def of(self, device: int) -> tuple[bytes, NDArray[np.int8]]:
        """Exponents and deltas."""
        start = device * 7919 % _POOL
        return bytes((device % 5, device % 3)), self._pool[start : start + self._count]

    def blob(self, device: int, number: int, tag: int) -> bytes:
        """The whole update of a round."""
        exponents, deltas = self.of(device)
        body = exponents + deltas.tobytes() + bytes(2)
        header = UpdateHeader(0, number, tag, samples_of(device), 0, 0, 0, 1000).pack()
        rest = header[4:] + body
        return zlib.crc32(rest).to_bytes(4, "little") + rest


class HerdFleet:
    """`fleetgrad.fleet.FieldFleet` of made-up devices.

    Args:
        count: How many.
        head: What they train.
    """

    kind = "virtual"

    def __init__(self, count: int, head: Head) -> None:
        self._count = count
        self._head = head
        self._links: list[SocketLink] = []
        self._process: multiprocessing.process.BaseProcess | None = None

    def discover(self, wait_s: float) -> list[Member]:
        """See `FieldFleet`."""
        del wait_s
        ids = range(1, self._count + 1)
        return [Member(device, f"herd {device}", samples_of(device), 0) for device in ids]

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See `Fleet`."""
        del directory
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as door:
            path = f"{folder}/door"
            door.bind(path)
            door.listen(1024)
            spawn = multiprocessing.get_context("spawn")
            arguments = (path, self._count, self._head)
            self._process = spawn.Process(target=herd, args=arguments, daemon=True)
            self._process.start()
            found = {}
            for _ in placements:
                connection, _ = door.accept()
                device = struct.unpack("<Q", connection.recv(8, socket.MSG_WAITALL))[0]
                found[device] = SocketLink(connection, f"device {device}")
        self._links = list(found.values())
        return [Endpoint(p.device, found[p.device], "herd:", None) for p in placements]

    def stop(self) -> None:
        """See `Fleet`."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        for link in self._links:
            link.close()
        self._links = []


def herd(path: str, count: int, head: Head) -> None:
    """The process: devices 1 .. count behind a socket each."""
    deltas = Deltas(head)
    proxies: dict[int, Proxy] = {}
    links: dict[int, SocketLink] = {}
    unsent: dict[int, bytes] = {}
    with selectors.DefaultSelector() as selector:
        for device in range(1, count + 1):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(path)
            connection.sendall(struct.pack("<Q", device))
            links[device] = SocketLink(connection, "host")
            identity = Identity(device, head.digest[:8], samples_of(device), 0, 0, 1)
            proxies[device] = Proxy(identity)
            selector.register(links[device], selectors.EVENT_READ, device)
        swept, dirty = 0.0, set(proxies)
        while links:
            now = time.monotonic()
            if now - swept >= _SWEEP_S:
                swept = now
                dirty = set(links)
            for device in dirty:
                _talk(proxies[device], links[device], unsent, device)
            dirty = set()
            for key, _ in selector.select(_SWEEP_S):
                device = key.data
                try:
                    data = links[device].read()
                except LinkClosed:
                    selector.unregister(links.pop(device))
                    continue
                for event in proxies[device].receive(data):
                    if isinstance(event, Wanted):
                        terms = event.terms
                        blob = deltas.blob(device, terms.round, terms.version_tag)
                        proxies[device].offer(blob)
                dirty.add(device)


def _talk(proxy: Proxy, link: SocketLink, unsent: dict[int, bytes], device: int) -> None:
    data = unsent.pop(device, b"") + proxy.take(round(time.monotonic() * 1000))
    if data and (rest := data[link.write(data) :]):
        unsent[device] = rest
