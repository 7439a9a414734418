# SPDX-License-Identifier: Apache-2.0
"""One direction of a bad line."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from fleetgrad.simulator.faults import Faults
from fleetgrad.simulator.world import World

_LATE_MS = 100.0
_BOOT_LOG = b"\r\nrst:0x1 (POWERON),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"


class BitFlips:
    """Inverts bits, each with the same chance, at the cost of one random number per error.

    Args:
        rate: The chance.
        dice: Whose numbers to use.
    """

    def __init__(self, rate: float, dice: random.Random) -> None:
        self._rate = rate
        self._dice = dice
        self._left = self._gap() if rate else 0

    def apply(self, data: bytes) -> bytes:
        """The bytes as they arrive."""
        bits = 8 * len(data)
        if not self._rate or self._left >= bits:
            self._left -= bits
            return data
        damaged = bytearray(data)
        while self._left < bits:
            damaged[self._left >> 3] ^= 1 << (self._left & 7)
            self._left += 1 + self._gap()
        self._left -= bits
        return bytes(damaged)

    def _gap(self) -> int:
        return int(self._dice.expovariate(self._rate))


class Line:
    """Carries bytes one way, with whatever goes wrong on the way.

    Args:
        world: Whose time passes.
        faults: What goes wrong.
        name: For the trace.
        deliver: Takes the bytes that arrive.
    """

    def __init__(
        self, world: World, faults: Faults, name: str, deliver: Callable[[bytes], None]
    ) -> None:
        self._world = world
        self._faults = faults
        self._name = name
        self._deliver = deliver
        self._flips = BitFlips(faults.bit_errors, world.dice)
        self._free_at = 0.0  # when the last byte has left
        self._arrived = 0.0  # when the last piece in order arrives
        self._cut_until = 0.0
        self._epoch = 0  # what was sent in an earlier one never arrives
        kinds = ("lose", "duplicate", "reorder", "garbage", "stall", "cut")
        self._kinds = [(kind, getattr(faults, kind)) for kind in kinds]
        self._any = sum(chance for _, chance in self._kinds)

    @property
    def backlog(self) -> int:
        """Bytes that have not left yet."""
        waiting = self._free_at - self._world.now
        return int(waiting * self._faults.bytes_per_ms) if waiting > 0 else 0

    def send(self, data: bytes) -> None:
        """Cuts the bytes into pieces and sends them on their way."""
        size = self._faults.piece_bytes
        for start in range(0, len(data), size):
            self._send(data[start : start + size])

    def break_until(self, moment: float) -> None:
        """Loses all that is on the line, and all that is sent before a moment."""
        self._epoch += 1
        self._cut_until = max(self._cut_until, moment)

    def drained_at(self, backlog: int) -> float:
        """When no more than so many bytes will be left."""
        return self._free_at - backlog / self._faults.bytes_per_ms

    def _send(self, piece: bytes) -> None:
        world, faults = self._world, self._faults
        self._free_at = max(self._free_at, world.now) + len(piece) / faults.bytes_per_ms
        fault = self._fault()
        if fault:
            world.tell(f"{self._name}: {fault} ({len(piece)} bytes)")
        if fault == "stall":
            self._free_at += world.dice.uniform(0, faults.stall_ms)
        elif fault == "cut":
            self._cut_until = self._free_at + world.dice.uniform(0, faults.cut_ms)
        arrival = self._free_at + faults.latency_ms
        piece = self._flips.apply(piece)
        if fault == "lose" or self._free_at <= self._cut_until:
            return
        if fault == "garbage":
            piece = _BOOT_LOG + piece
        if fault == "reorder":  # those that come behind do not wait for it
            self._arrive_at(arrival + world.dice.uniform(0, _LATE_MS), piece)
            return
        arrival = self._arrived = max(arrival, self._arrived)
        self._arrive_at(arrival, piece)
        if fault == "duplicate":
            self._arrive_at(arrival + world.dice.uniform(0, _LATE_MS), piece)

    def _arrive_at(self, moment: float, piece: bytes) -> None:
        self._world.at(moment, partial(self._arrive, self._epoch, piece))

    def _arrive(self, epoch: int, piece: bytes) -> None:
        if epoch == self._epoch:
            self._deliver(piece)

    def _fault(self) -> str:
        if not self._any:
            return ""
        ticket = self._world.dice.random()
        if ticket >= self._any:
            return ""
        for kind, chance in self._kinds:
            if ticket < chance:
                return kind
            ticket -= chance
        return ""
