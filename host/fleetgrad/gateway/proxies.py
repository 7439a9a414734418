# SPDX-License-Identifier: Apache-2.0
"""A gateway that shows every board to the host: it has a proxy for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fleetgrad.device import Arrived, DeviceEvent, Identity, Lost, Refused, Spoiled, Unable
from fleetgrad.errors import StoreError
from fleetgrad.gateway.boards import Boards
from fleetgrad.gateway.custody import Custody
from fleetgrad.gateway.proxy import Called, Proxy, ProxyEvent, Settled, Wanted
from fleetgrad.wire.messages import ErrorCode


class Proxies:
    """`fleetgrad.gateway.gateway.Front` of single boards.

    Args:
        boards: The boards.
        custody: Keeps updates.
        starts: How often this gateway was started: the boots that the host sees.
        tell: Is told what happens.
    """

    def __init__(
        self, boards: Boards, custody: Custody, starts: int, tell: Callable[[str], None]
    ) -> None:
        self._boards = boards
        self._custody = custody
        self._starts = starts
        self._tell = tell
        self._proxies: dict[int, Proxy] = {}

    @property
    def sums(self) -> bool:
        """See `Front`: its boards are shown one by one."""
        return False

    def meet(self, identity: Identity) -> list[tuple[int, str, bytes]]:
        """See `Front`."""
        device = identity.device
        seen = replace(identity, boots=self._starts)
        self._proxies[device] = proxy = Proxy(seen, self._custody.find(device))
        return [(device, "presence", proxy.presence())]

    def leave(self) -> list[tuple[int, str, bytes]]:
        """See `Front`."""
        return [(device, "presence", b"") for device in self._proxies]

    def addresses(self) -> Sequence[int]:
        """See `Front`."""
        return list(self._proxies)

    def receive(self, address: int, data: bytes) -> None:
        """See `Front`."""
        for event in self._proxies[address].receive(data):
            self._from_host(address, event)

    def take(self, now: float) -> list[tuple[int, bytes]]:
        """See `Front`."""
        now_ms = round(now * 1000)
        return [(device, data) for device, p in self._proxies.items() if (data := p.take(now_ms))]

    def wait(self, now: float) -> float | None:
        """See `Front`."""
        due = [proxy.wait(round(now * 1000)) for proxy in self._proxies.values()]
        return min((pause / 1000 for pause in due if pause is not None), default=None)

    def _from_host(self, device: int, event: ProxyEvent) -> None:
        session = self._boards.session(device)
        match event:
            case Wanted():
                session.open_round(event.terms, event.vector, time.monotonic())
                self._tell(f"device {device:016x}: round {event.terms.round} goes down")
            case Settled():
                session.receipt(event.round, event.verdict)
                self._custody.drop(device)
                self._tell(f"device {device:016x}: round {event.round} is settled")
            case Called():
                session.abandon_round()
                self._custody.drop(device)

    def hear(self, event: DeviceEvent) -> None:
        """See `Front`."""
        device = event.device
        proxy = self._proxies[device]
        terms = proxy.terms
        match event:
            case Arrived() | Spoiled() if terms is not None and terms.round == event.round:
                # Spoiled ones too: whether an update counts is the host's to say, and to record.
                blob = event.update.blob if isinstance(event, Arrived) else event.blob
                try:
                    self._custody.keep(device, terms, blob)
                except StoreError as error:
                    self._tell(f"{error.what}: device {device:016x} keeps its update")
                proxy.offer(blob)
                self._tell(f"device {device:016x}: the update of round {event.round} is here")
            case Unable() if terms is not None and terms.round == event.round:
                self._tell(f"device {device:016x}: {event.reason}")
                proxy.refuse(ErrorCode.FAILED)
            case Refused() | Lost():
                self._tell(f"device {device:016x}: {event.reason}")
            case _:
                pass
