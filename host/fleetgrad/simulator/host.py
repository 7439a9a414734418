# SPDX-License-Identifier: Apache-2.0
"""Hosts that die and are started again, over devices that outlive them."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fleetgrad.config import Config
from fleetgrad.errors import FleetError, FleetgradError, RoundError
from fleetgrad.federation.partial import Fold
from fleetgrad.fleet import Endpoint, Placement
from fleetgrad.run import Services, execute
from fleetgrad.simulator.device import Device
from fleetgrad.simulator.faults import Faults
from fleetgrad.simulator.line import Line
from fleetgrad.simulator.links import SimulatedLink, VirtualSelector
from fleetgrad.simulator.world import World
from fleetgrad.store import Ledger, Store
from fleetgrad.store.store import LEDGER
from fleetgrad.toolchain.fold import find_fold
from fleetgrad.toolchain.library import Library
from fleetgrad.wire.framing import Frame, FrameDecoder
from fleetgrad.wire.messages import Receipt, Verdict

_MOST_LIVES = 400
_DEAD_MS = (10.0, 60_000.0)
_JUMP_S = (0.1, 90.0)
_WALL_JUMP_S = (-86_400.0, 86_400.0)
_KILLED_WAITING = 0.05  # as often as at a commit
_RECEIPT = bytes((3, 1, Receipt.ID))  # how every stuffed receipt begins: version, type, a zero


class HostKilled(BaseException):
    """The host is dead: nothing of it that is not on the disk exists any more."""


class Violation(FleetgradError):  # noqa: N818 - it is what was violated that the word is about
    """Something happened that never may."""


@dataclass
class Fate:
    """What happens to one host, and when.

    Attributes:
        world: Whose dice are thrown.
        faults: What may happen.
        mortal: Whether it may be killed; a host that is to come to an end some day is not.
    """

    world: World
    faults: Faults
    mortal: bool = True
    ahead_s: float = 0.0
    wall_ahead_s: float = 0.0
    kills: int = 0
    _sentence: str = ""

    def commit(self, moment: str) -> None:
        """The ledger is about to commit, or has just done so."""
        dice, faults = self.world.dice, self.faults
        if moment == "before":
            self._sentence = ""
            if self.mortal and faults.kill and dice.random() < faults.kill:
                self._sentence = dice.choice(("before", "after", "sent"))
            if faults.host_jump and dice.random() < faults.host_jump:
                self.ahead_s += dice.uniform(*_JUMP_S)
                self.wall_ahead_s = dice.uniform(*_WALL_JUMP_S)
                self.world.tell("host: its clocks leap")
        if self._sentence == moment:
            self._die(f"killed {moment} a commit")

    def sent(self) -> None:
        """Bytes have left."""
        if self._sentence == "sent":
            self._die("killed with the first bytes after a commit")

    def waits(self) -> None:
        """The host has nothing to do for the moment."""
        chance = self.faults.kill * _KILLED_WAITING
        if self.mortal and chance and self.world.dice.random() < chance:
            self._die("killed while it waits")

    def _die(self, how: str) -> None:
        self._sentence = ""
        self.kills += 1
        self.world.tell(f"host: {how}")
        raise HostKilled(how)


class _MortalLedger(Ledger):
    fate: Fate

    def _commit(self) -> None:
        self.fate.commit("before")
        super()._commit()
        self.fate.commit("after")


def _open_store(fate: Fate) -> Callable[[Path], Store]:
    class MortalStore(Store):
        def _open_ledger(self, path: Path, *, writing: bool) -> Ledger:
            ledger = _MortalLedger(path, writing=writing)
            ledger.fate = fate
            return ledger

    return lambda directory: MortalStore(directory, writing=True)


@functools.cache
def _fold() -> Fold:
    return find_fold(lambda _: None)


def _find_fold(tell: Callable[[str], None]) -> Fold:
    """Looked for once, not in every life."""
    del tell
    return _fold()


@dataclass
class _Port:
    """A device, its line, and the link of the host that lives now."""

    device: Device
    up: Line
    down: Line
    link: SimulatedLink | None = None
    pending: bytes = b""  # of the frame that the host has begun


@dataclass
class Rig:
    """Devices and lines, which outlive hosts; it is the fleet of each of them.

    Attributes:
        world: Whose time passes.
        library: The devices' firmware.
        faults: What goes wrong.
        fate: Of the hosts.
        directory: The run directory.
        receipts: (round, device) of every update that the host has ever said to have accepted.
    """

    world: World
    library: Library
    faults: Faults
    fate: Fate
    directory: Path
    kind: str = "virtual"
    receipts: set[tuple[int, int]] = field(default_factory=set)
    images: dict[int, bytes] = field(default_factory=dict)
    _ports: dict[int, _Port] = field(default_factory=dict)
    _reader: sqlite3.Connection | None = None

    @property
    def resets(self) -> int:
        """How often devices were reset."""
        return sum(port.device.resets for port in self._ports.values())

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See :class:`fleetgrad.fleet.Fleet`; devices that are there stay as they are."""
        assert directory.is_dir()
        endpoints = []
        for number, placement in enumerate(placements):
            port = self._ports.get(placement.device)
            if port is None:
                port = self._ports[placement.device] = self._plug(placement)
            port.pending = b""
            port.link = SimulatedLink(
                number, self.world, port.down, self.faults, self._listener(placement.device, port)
            )
            url = f"simulated:{placement.device}"
            endpoints.append(Endpoint(placement.device, port.link, url, None))
        return endpoints

    def stop(self) -> None:
        """See :class:`fleetgrad.fleet.Fleet`: the host is gone, the devices are not."""
        for port in self._ports.values():
            port.link = None

    def _plug(self, placement: Placement) -> _Port:
        world, faults, number = self.world, self.faults, placement.device
        self.images[number] = placement.image

        def arrive(data: bytes) -> None:
            if faults.outage and world.dice.random() < faults.outage:
                self._break_down()
            elif port.link is not None:
                port.link.arrive(data)

        up = Line(world, faults, f"device {number} to host", arrive)
        device = Device(world, self.library, placement.image, faults, up)
        down = Line(world, faults, f"host to device {number}", device.receive)
        port = _Port(device, up, down)
        return port

    def _break_down(self) -> None:
        world = self.world
        world.tell("all lines: outage")
        until = world.now + world.dice.uniform(0, self.faults.cut_ms)
        for port in self._ports.values():
            port.up.break_until(until)
            port.down.break_until(until)

    def _listener(self, device: int, port: _Port) -> Callable[[bytes], None]:
        """Looks for receipts in what the host sends: each must be in the ledger by now."""

        def sent(data: bytes) -> None:
            *frames, port.pending = (port.pending + data).split(b"\0")
            for frame in frames:
                if frame.startswith(_RECEIPT):
                    self._check_receipt(device, frame)
            self.fate.sent()

        return sent

    def _check_receipt(self, device: int, stuffed: bytes) -> None:
        (frame,) = FrameDecoder().feed(stuffed + b"\0")
        assert isinstance(frame, Frame)
        receipt = frame.message()
        assert isinstance(receipt, Receipt)
        self.world.tell(f"host to device {device}: {receipt}")
        if receipt.verdict not in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            return
        if receipt.round >= 1 << 31:  # of a measurement: nothing to count
            return
        self.receipts.add((receipt.round, device))
        if not self._is_counted(receipt.round, device):
            raise Violation(
                f"a receipt for an update that is not in the ledger: round {receipt.round}",
                where=f"device {device}",
            )

    def _is_counted(self, number: int, device: int) -> bool:
        """Looks into the ledger as anybody else would, beside the host that has it open."""
        if self._reader is None:
            self._reader = sqlite3.connect(f"file:{self.directory / LEDGER}?mode=ro", uri=True)
        query = "SELECT COUNT(*) FROM updates WHERE round = ? AND device = ?"
        found: int = self._reader.execute(query, (number, device)).fetchone()[0]
        return found == 1

    def close(self) -> None:
        """No more receipts will be checked."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def counted(directory: Path) -> set[tuple[int, int]]:
    """(round, device) of every update that counts, read as anybody else would read it.

    Raises:
        Violation: An update counts twice.
    """
    path = directory / LEDGER
    if not path.exists():
        return set()
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'updates'").fetchone():
            return set()
        rows = database.execute("SELECT round, device FROM updates").fetchall()
    finally:
        database.close()
    if len(set(rows)) != len(rows):
        raise Violation("an update counts twice", where=str(path))
    return set(rows)


def _reported(directory: Path) -> bool:
    """Whether the caller has had the result: another host would begin another run."""
    if not (directory / LEDGER).exists():
        return False
    database = sqlite3.connect(f"file:{directory / LEDGER}?mode=ro", uri=True)
    try:
        return (
            database.execute("SELECT 1 FROM runs WHERE state = 'reported'").fetchone() is not None
        )
    finally:
        database.close()


@dataclass(frozen=True)
class Ending:
    """How a run came to its end.

    Attributes:
        lives: Hosts that it took.
        failures: Hosts that gave up by themselves: too few updates in time.
    """

    lives: int
    failures: int


def live(config: Config, bundle_dir: Path, rig: Rig, session_ids: Callable[[], int]) -> Ending:
    """Starts one host after the other until the run is complete.

    Args:
        config: Of the run.
        bundle_dir: What the devices run.
        rig: The devices.
        session_ids: Never gives the same number twice.

    Raises:
        Violation: An update that counted does not any more, or there is no end.
    """
    world, fate = rig.world, rig.fate
    failures = 0
    for life in range(1, _MOST_LIVES + 1):
        fate.mortal = life <= _MOST_LIVES // 2
        before = counted(config.run.dir)
        services = Services(
            clock=lambda: world.now / 1000 + fate.ahead_s,
            wall=lambda: 1.7e9 + world.now / 1000 + fate.wall_ahead_s,
            session_id=session_ids,
            open_store=_open_store(fate),
            selector=lambda: VirtualSelector(world, fate.waits),
            fold=_find_fold,
        )
        world.tell(f"host: life {life}")
        ended = False
        try:
            execute(config, bundle_dir, rig, services=services)
            ended = True
        except HostKilled:
            ended = _reported(config.run.dir)
        except (RoundError, FleetError) as error:
            world.tell(f"host: gives up: {error}")
            failures += 1
        after = counted(config.run.dir)
        if not before <= after or not rig.receipts <= after:
            lost = sorted((before | rig.receipts) - after)
            raise Violation("accepted updates are lost", where=f"(round, device): {lost}")
        if ended:
            return Ending(life, failures)
        end = world.now + world.dice.uniform(*_DEAD_MS)
        while world.advance(end):
            pass
    raise Violation(f"no end after {_MOST_LIVES} hosts", where=f"at {world.now / 1000:.0f} s")
