# SPDX-License-Identifier: Apache-2.0
"""The host's ends of the simulated lines, and the selector under which virtual time passes."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Mapping
from typing import Any

from fleetgrad.errors import LinkClosed
from fleetgrad.simulator.faults import Faults
from fleetgrad.simulator.line import Line
from fleetgrad.simulator.world import World

_BUFFER_BYTES = 4096  # of the operating system, each way
_LOOP_MS = 0.02  # a host is not infinitely fast


class SimulatedLink:
    """What a host that lives now has of a line to a device. See :class:`fleetgrad.link.Link`.

    Args:
        number: Stands for a file descriptor.
        world: Whose time passes.
        down: The line to the device.
        faults: What goes wrong.
        sent: Is told of the bytes that have left.
    """

    def __init__(
        self,
        number: int,
        world: World,
        down: Line,
        faults: Faults,
        sent: Callable[[bytes], None],
    ) -> None:
        self._number = number
        self._world = world
        self._down = down
        self._faults = faults
        self._sent = sent
        self._inbox = bytearray()
        self._closed = False

    def fileno(self) -> int:
        """A number that no other link has."""
        return self._number

    @property
    def readable(self) -> bool:
        """Whether reading gives bytes or an error."""
        return bool(self._inbox) or self._closed

    @property
    def writable_at(self) -> float:
        """When there is room again for half a buffer, in milliseconds of the world."""
        return self._world.now if self._closed else self._down.drained_at(_BUFFER_BYTES // 2)

    def arrive(self, data: bytes) -> None:
        """Bytes from the device; what nobody reads is lost some day."""
        self._inbox += data
        del self._inbox[:-_BUFFER_BYTES]
        faults = self._faults
        if faults.hang_up and self._world.dice.random() < faults.hang_up:
            self._world.tell(f"link {self._number}: hangs up")
            self._closed = True

    def read(self) -> bytes:
        """See :class:`fleetgrad.link.Link`."""
        self._check()
        data = bytes(self._inbox)
        self._inbox.clear()
        return data

    def write(self, data: bytes) -> int:
        """See :class:`fleetgrad.link.Link`."""
        self._check()
        taken = data[: max(0, _BUFFER_BYTES - self._down.backlog)]
        if taken:
            self._down.send(taken)
            self._sent(taken)
        return len(taken)

    def close(self) -> None:
        """See :class:`fleetgrad.link.Link`."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise LinkClosed("the link was closed at the other end", where=f"link {self._number}")


class VirtualSelector(selectors.BaseSelector):
    """Waiting is letting the world go on.

    Args:
        world: Whose time passes.
        waits: Is told whenever the host waits.
    """

    def __init__(self, world: World, waits: Callable[[], None]) -> None:
        self._world = world
        self._waits = waits
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See :class:`selectors.BaseSelector`."""
        key = selectors.SelectorKey(fileobj, fileobj.fileno(), events, data)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """See :class:`selectors.BaseSelector`."""
        return self._keys.pop(fileobj.fileno())

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See :class:`selectors.BaseSelector`."""
        return self.register(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """See :class:`selectors.BaseSelector`."""
        return {key.fileobj: key for key in self._keys.values()}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Lets time pass until a link is ready or the time is over."""
        world = self._world
        self._waits()
        world.now += _LOOP_MS
        until = float("inf") if timeout is None else world.now + max(0.0, timeout) * 1000
        while True:
            ready = []
            soonest = until
            for key in self._keys.values():
                link = key.fileobj
                assert isinstance(link, SimulatedLink)
                mask = selectors.EVENT_READ if link.readable else 0
                if key.events & selectors.EVENT_WRITE:
                    moment = link.writable_at
                    if moment <= world.now:
                        mask |= selectors.EVENT_WRITE
                    soonest = min(soonest, moment)
                if mask & key.events:
                    ready.append((key, mask & key.events))
            if ready:
                return ready
            if not world.advance(soonest) and soonest >= until:
                return []
