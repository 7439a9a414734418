# SPDX-License-Identifier: Apache-2.0
"""A device in virtual time: the firmware's own code, and what happens to boards."""

from __future__ import annotations

import ctypes

from fleetgrad.data.image import boot_base
from fleetgrad.simulator.faults import Faults
from fleetgrad.simulator.line import Line
from fleetgrad.simulator.world import World
from fleetgrad.toolchain.library import Library
from fleetgrad.toolchain.node import NativeNode

_PIECES = 4  # samples or frames between two chances for the world to interfere
_PIECE_MS = 1.0
_BOOT_MS = (5.0, 400.0)
_JUMP_MS = (1.0, 90_000.0)
_UNTIL_WRAP_MS = 90_000.0
_FLASH_BYTES = 16 * 1024


class Device:
    """One board.

    Args:
        world: Whose time passes.
        library: The firmware.
        image: Its data image.
        faults: What goes wrong with it.
        up: The line to the host.
    """

    def __init__(
        self,
        world: World,
        library: Library,
        image: bytes,
        faults: Faults,
        up: Line,
    ) -> None:
        self._world = world
        self._library = library
        self._image = image
        self._faults = faults
        self._up = up
        self._boots = boot_base(image)
        # Its clock wraps before long.
        self._ahead = 2.0**32 - world.dice.uniform(0, _UNTIL_WRAP_MS)
        self._alarm = 0  # the only one that counts
        self._flash = _blank() if faults.flash else None
        self.resets = 0
        self._node: NativeNode | None = None
        self._power_up()

    def receive(self, data: bytes) -> None:
        """Takes bytes from the line."""
        dice, faults = self._world.dice, self._faults
        if self._node is None:  # it is booting
            return
        self._node.receive(data)
        if faults.jump and dice.random() < faults.jump:
            leap = dice.uniform(*_JUMP_MS)
            self._ahead += leap
            self._world.tell(f"device {self._name}: its clock leaps by {leap:.0f} ms")
        if faults.reset and dice.random() < faults.reset:
            self.reset()
            return
        self._wake(self._world.now)

    def reset(self) -> None:
        """Starts again, whatever it was doing."""
        self.resets += 1
        self._node = None
        self._alarm += 1
        delay = self._world.dice.uniform(*_BOOT_MS)
        self._world.tell(f"device {self._name}: reset")
        self._world.at(self._world.now + delay, self._power_up)

    @property
    def _name(self) -> int:
        return int.from_bytes(self._image[8:16], "little")

    def _power_up(self) -> None:
        if self._node is not None:
            return
        self._boots += 1
        self._node = NativeNode(
            self._library, self._image, boot_count=self._boots, flash=self._flash
        )
        self._wake(self._world.now)

    def _wake(self, moment: float) -> None:
        self._alarm += 1
        alarm = self._alarm
        self._world.at(moment, lambda: self._work(alarm))

    def _work(self, alarm: int) -> None:
        if alarm != self._alarm or self._node is None:
            return
        free_at = self._up.drained_at(0)
        if free_at > self._world.now:
            self._wake(free_at)
            return
        now_ms = int(self._world.now + self._ahead)
        data, more = self._node.run(now_ms, _PIECES)
        if data:
            self._up.send(data)
        if more:
            self._wake(self._world.now + _PIECE_MS)
            return
        wait = self._node.wait_ms(now_ms)
        if wait is not None:
            self._wake(self._world.now + max(1, wait))


def _blank() -> ctypes.Array[ctypes.c_uint8]:
    """Flash as it leaves the factory."""
    flash = (ctypes.c_uint8 * _FLASH_BYTES)()
    ctypes.memset(flash, 0xFF, _FLASH_BYTES)
    return flash
