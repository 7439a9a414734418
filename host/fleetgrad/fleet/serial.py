# SPDX-License-Identifier: Apache-2.0
"""Boards on serial ports: they hold their own data, and nobody starts or stops them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetgrad.errors import FleetError
from fleetgrad.fleet.base import Endpoint, Member, Placement
from fleetgrad.fleet.panel import Panel, Sighting


class SerialFleet:
    """The boards that answer on a number of ports.

    Args:
        patterns: See :func:`fleetgrad.link.matching`.
        baud: Bits per second.
        devices: How many boards to wait for; 0: until every port has answered or the time is over.
        tell: Is told of ports that come and go, from other threads.
    """

    kind = "serial"

    def __init__(
        self,
        patterns: tuple[str, ...],
        baud: int,
        devices: int = 0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._patterns = patterns
        self._baud = baud
        self._devices = devices
        self._remarks: deque[str] = deque()
        self._tell = self._remarking(tell)
        self._panel: Panel | None = None

    def discover(self, wait_s: float) -> list[Member]:
        """The boards that answer, by id.

        Args:
            wait_s: How long to wait for them at most.

        Raises:
            FleetError: None answers; says what every port is about.
        """
        found = self._ports().sightings(self._is_enough, wait_s)
        members = [Member.of(s.identity, s.url) for s in found if s.identity is not None]
        if not members:
            raise self._nobody(found)
        for sighting in found:
            if sighting.identity is None:
                self._tell(f"{sighting.url} is left out: {sighting.problem}")
        return sorted(members, key=lambda member: member.device)

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See :class:`fleetgrad.fleet.Fleet`; the boards have their data, and run."""
        del directory
        panel = self._ports()
        return [
            Endpoint(placement.device, panel.link(placement.device), placement.name, None)
            for placement in placements
        ]

    def stop(self) -> None:
        """See :class:`fleetgrad.fleet.Fleet`; the boards run on."""
        if self._panel is not None:
            self._panel.stop()
            self._panel = None

    def remarks(self) -> list[tuple[int | None, str]]:
        """See :class:`fleetgrad.fleet.Witness`."""
        return [(None, self._remarks.popleft()) for _ in range(len(self._remarks))]

    def _remarking(self, tell: Callable[[str], None]) -> Callable[[str], None]:
        """What the panel tells is for the run's story as well."""

        def both(text: str) -> None:
            self._remarks.append(text)
            tell(text)

        return both

    def _ports(self) -> Panel:
        if self._panel is None:
            self._panel = Panel(self._patterns, self._baud, self._tell)
        return self._panel

    def _is_enough(self, found: list[Sighting]) -> bool:
        known = sum(sighting.identity is not None for sighting in found)
        if self._devices:
            return known >= self._devices
        return bool(found) and known == len(found)

    def _nobody(self, found: Sequence[Sighting]) -> FleetError:
        if not found:
            return FleetError(
                "there is no serial port",
                where=", ".join(self._patterns) or "every USB port",
                hint="plug a board in, or set fleet.ports",
            )
        told = "; ".join(f"{s.url}: {s.problem}" for s in found[:8])
        hint = next((s.hint for s in found if s.hint), "fleetgrad devices")
        return FleetError("no board answers", where=told, hint=hint)
