# SPDX-License-Identifier: Apache-2.0
"""A patch panel: ports on one side, which come and go, devices on the other, which stay.

Every port is attended by a thread of its own, which asks who is there and then moves bytes between
the port and that device's link. A port that vanishes is a line that loses bytes; one that appears,
under whatever name, is patched to the device that answers on it. Nobody else knows of ports.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fleetgrad.device import Greeting, Identity
from fleetgrad.errors import LinkClosed, LinkError
from fleetgrad.link import SerialPort, SocketLink, matching, socket_pair

_LOOK_S = 1.0  # between two looks for ports that were plugged in
_BACKLOG = 65536  # bytes of a device that nobody takes; more are lost


@dataclass(frozen=True)
class Sighting:
    """What is known of a port.

    Attributes:
        url: The port.
        identity: What the device on it says of itself; None while none has answered.
        problem: Why there is none, in words; empty when there is one.
        hint: What to do about it, if anything can be told.
        boards: Where it is a gateway that sums: who is behind it.
    """

    url: str
    identity: Identity | None = None
    problem: str = "it was not asked yet"
    hint: str = ""
    boards: tuple[Identity, ...] = ()


@dataclass
class Line:
    """One device's link: the host holds one end, whoever attends its port the other."""

    host: SocketLink
    panel: SocketLink
    url: str = ""  # of the port that it is patched to; empty while it is to none


class Panel:
    """Attends ports.

    Args:
        patterns: See :func:`fleetgrad.link.matching`.
        baud: Bits per second.
        tell: Is told of ports that come and go, from threads of this panel.
    """

    def __init__(
        self, patterns: tuple[str, ...], baud: int, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._patterns = patterns
        self._baud = baud
        self._tell = tell
        self._changed = threading.Condition()
        self._sightings: dict[str, Sighting] = {}
        self._lines: dict[int, Line] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._look, name="ports", daemon=True)
        self._watch.start()

    def sightings(self, enough: Callable[[list[Sighting]], bool], wait_s: float) -> list[Sighting]:
        """All ports, by name, once they satisfy ``enough`` or the time is over."""
        until = time.monotonic() + wait_s
        with self._changed:
            while True:
                found = [self._sightings[url] for url in sorted(self._sightings)]
                left = until - time.monotonic()
                if left <= 0 or enough(found):
                    return found
                self._changed.wait(left)

    def link(self, device: int) -> SocketLink:
        """The host's end of a device's link; the panel closes it in ``stop``."""
        with self._changed:
            return self._line(device).host

    def stop(self) -> None:
        """Lets all ports go."""
        self._stopping.set()
        self._watch.join()
        for thread in self._threads.values():
            thread.join()
        for line in self._lines.values():
            line.host.close()
            line.panel.close()
        self._lines.clear()

    def _line(self, device: int) -> Line:
        if device not in self._lines:
            self._lines[device] = Line(*socket_pair(f"device {device}"))
        return self._lines[device]

    def _look(self) -> None:
        """Has a thread attend each port that is there and unattended."""
        while not self._stopping.is_set():
            present = matching(self._patterns)
            with self._changed:
                for url in set(self._sightings) - set(present):
                    if not self._threads[url].is_alive():
                        del self._sightings[url]
                for url in present:
                    thread = self._threads.get(url)
                    if thread is None or not thread.is_alive():
                        self._sightings.setdefault(url, Sighting(url))
                        thread = threading.Thread(
                            target=self._attend, args=(url,), name=url, daemon=True
                        )
                        self._threads[url] = thread
                        thread.start()
                self._changed.notify_all()
            self._stopping.wait(_LOOK_S)

    def _attend(self, url: str) -> None:
        """One port, from opening it to the moment it is gone."""
        try:
            port = SerialPort(url, self._baud)
        except LinkError as error:
            self._note(Sighting(url, problem=error.what, hint=error.hint))
            return
        with contextlib.closing(port):
            try:
                identity = self._greet(port)
                if identity is not None:
                    self._patch(port, identity)
            except LinkClosed as error:
                self._note(Sighting(url, problem=error.what))

    def _greet(self, port: SerialPort) -> Identity | None:
        """Asks until someone answers or the panel stops."""
        greeting = Greeting(secrets.randbits(32) or 1, time.monotonic())
        while not self._stopping.is_set():
            if asking := greeting.take(time.monotonic()):
                port.write(asking)
            identity = greeting.receive(port.read())
            if identity is not None:
                return identity
            self._note(Sighting(port.url, problem=greeting.verdict()))
        return None

    def _patch(self, port: SerialPort, identity: Identity) -> None:
        """Moves bytes between the port and its device's link, until either is gone."""
        device = identity.device
        with self._changed:
            line = self._line(device)
            taken = line.url
            if not taken:
                line.url = port.url
        if taken:
            problem = f"it says that it is device {device:016x}, which is on {taken} already"
            self._note(Sighting(port.url, problem=problem, hint="give each board an id of its own"))
            self._stopping.wait(_LOOK_S)
            return
        self._note(Sighting(port.url, identity, problem=""))
        try:
            self._pump(port, line.panel)
        finally:
            with self._changed:
                line.url = ""

    def _pump(self, port: SerialPort, link: SocketLink) -> None:
        unsent = b""
        while not self._stopping.is_set():
            try:
                down = link.read()
                if down and not port.write(down):
                    self._tell(f"{port.url} stalls; what it did not take is sent again")
                unsent = (unsent + port.read())[-_BACKLOG:]
                unsent = unsent[link.write(unsent) :] if unsent else b""
            except LinkClosed as error:
                if error.where == port.url:
                    raise
                return  # the run has hung up: it wants nothing of this device any more

    def _note(self, sighting: Sighting) -> None:
        with self._changed:
            before = self._sightings.get(sighting.url)
            if before == sighting:
                return
            self._sightings[sighting.url] = sighting
            self._changed.notify_all()
        if sighting.identity is not None:
            self._tell(f"device {sighting.identity.device:016x} is on {sighting.url}")
        elif before is not None and before.identity is not None:
            self._tell(f"{sighting.url}: {sighting.problem}")
