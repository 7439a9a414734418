# SPDX-License-Identifier: Apache-2.0
"""Virtual devices: the node firmware as a shared library, any number of devices in this process.

Worker threads run the devices; ctypes lets go of the interpreter's lock while C code runs. The
bytes that pass are those of every other fleet.
"""

import ctypes
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fleetgrad.data.image import boot_base
from fleetgrad.errors import LinkClosed
from fleetgrad.fleet.base import Endpoint, Placement
from fleetgrad.fleet.descriptors import allow_links
from fleetgrad.link import SocketLink, socket_pair
from fleetgrad.toolchain.library import Library

_OUT_BYTES = 16384
_PIECES_FIRST, _PIECES_MOST = 64, 4096  # samples or frames per call
_TURN_S = 0.004  # of computing, until the next device has its turn: all must answer in time
_FOREVER = 0xFFFFFFFF
_FIRMWARE_HASH = 0
_LINK_FULL_S = 0.001  # until a link that took nothing is tried again


class _Device:
    """One device and its end of the link."""

    def __init__(self, library: Library, placement: Placement, link: SocketLink) -> None:
        self._raw = library.raw
        self._memory = library.memory()
        self._image = placement.image  # the device reads it in place
        self._out = ctypes.create_string_buffer(_OUT_BYTES)
        self._more = ctypes.c_int32()
        self._unsent = b""
        self._pieces = _PIECES_FIRST
        self.link = link
        self.due: float | None = 0.0  # when it wants to work without new bytes; None: never
        # Any status is fine: a device that cannot work says so in its HELLO.
        self._raw.fg_virtual_init(
            self._memory,
            ctypes.c_size_t(ctypes.sizeof(self._memory)),
            self._image,
            ctypes.c_size_t(len(self._image)),
            ctypes.c_uint32(boot_base(self._image) + 1),
            ctypes.c_uint32(_FIRMWARE_HASH),
        )

    def take(self) -> None:
        """Hands over what came in."""
        data = self.link.read()
        self._raw.fg_virtual_receive(self._memory, data, ctypes.c_size_t(len(data)))
        self.due = 0.0

    def work(self, now: float) -> None:
        """Lets the device compute and send, as far as the link takes it.

        Args:
            now: Seconds, of a clock that only goes forward.
        """
        if self._unsent:
            self._unsent = self._unsent[self.link.write(self._unsent) :]
            if self._unsent:
                self.due = now + _LINK_FULL_S
                return
        clock = ctypes.c_uint32(int(now * 1000) & _FOREVER)
        started = time.monotonic()
        count = self._raw.fg_virtual_run(
            self._memory,
            clock,
            ctypes.c_uint32(self._pieces),
            self._out,
            ctypes.c_size_t(_OUT_BYTES),
            ctypes.byref(self._more),
        )
        self._take_turns_of(time.monotonic() - started)
        if count:
            data = self._out.raw[:count]
            self._unsent = data[self.link.write(data) :]
        wait = self._raw.fg_virtual_wait_ms(self._memory, clock)
        if self._unsent:
            self.due = now + _LINK_FULL_S
        elif self._more.value:
            self.due = now
        else:
            self.due = None if wait == _FOREVER else now + wait / 1000

    def _take_turns_of(self, seconds: float) -> None:
        """Makes the next call shorter or longer, after the last one took so long."""
        if seconds > _TURN_S:
            self._pieces = max(1, self._pieces // 2)
        elif 2 * seconds < _TURN_S:
            self._pieces = min(_PIECES_MOST, 2 * self._pieces)


class _Worker(threading.Thread):
    """Runs a share of the devices until told to stop."""

    def __init__(self, devices: Sequence[_Device], wake: socket.socket) -> None:
        super().__init__(name="virtual devices", daemon=True)
        self._devices = list(devices)
        self._wake = wake

    def run(self) -> None:
        """The thread's work."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            for device in self._devices:
                selector.register(device.link, selectors.EVENT_READ, device)
            while True:
                dues = [device.due for device in self._devices if device.due is not None]
                wait = max(0.0, min(dues) - time.monotonic()) if dues else None
                for key, _ in selector.select(wait):
                    if key.data is None:
                        return
                    self._guard(selector, key.data, key.data.take)
                now = time.monotonic()
                for device in tuple(self._devices):
                    if device.due is not None and device.due <= now:
                        self._guard(selector, device, partial(device.work, now))

    def _guard(
        self, selector: selectors.BaseSelector, device: _Device, work: Callable[[], None]
    ) -> None:
        """A device whose link is gone is gone."""
        try:
            work()
        except LinkClosed:
            selector.unregister(device.link)
            self._devices.remove(device)


class VirtualFleet:
    """A fleet within this process.

    Args:
        library: The shared library as the virtual build makes it.
        workers: Threads; 0 for one per processor.
    """

    kind = "virtual"

    def __init__(self, library: Path, workers: int = 0) -> None:
        self._path = library
        self._worker_count = workers or os.cpu_count() or 1
        self._workers: list[tuple[_Worker, socket.socket, socket.socket]] = []
        self._links: list[SocketLink] = []

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See :class:`fleetgrad.fleet.Fleet`."""
        del directory  # virtual devices remember nothing
        allow_links(len(placements))
        library = Library(self._path)
        devices, endpoints = [], []
        for placement in placements:
            url = f"virtual:{placement.device}"
            near, far = socket_pair(url)
            self._links += [near, far]
            devices.append(_Device(library, placement, far))
            endpoints.append(Endpoint(placement.device, near, url, None))
        count = min(self._worker_count, len(devices))
        for index in range(count):
            ours, theirs = socket.socketpair()
            worker = _Worker(devices[index::count], theirs)
            self._workers.append((worker, ours, theirs))
            worker.start()
        return endpoints

    def stop(self) -> None:
        """See :class:`fleetgrad.fleet.Fleet`."""
        for _, ours, _ in self._workers:
            ours.close()
        for worker, _, theirs in self._workers:
            worker.join()
            theirs.close()
        self._workers.clear()
        for link in self._links:
            link.close()
        self._links.clear()
