# SPDX-License-Identifier: Apache-2.0
"""Emulated boards: one QEMU for every device, its UART a TCP connection, its data in its flash."""

from collections.abc import Sequence
from pathlib import Path

from fleetgrad.boards import Board
from fleetgrad.errors import FleetError
from fleetgrad.fleet.base import Endpoint, Placement
from fleetgrad.fleet.dialled import DialledFleet, Site
from fleetgrad.toolchain.emulator import find_emulator, qemu_command


class QemuFleet(DialledFleet):
    """A fleet of emulated boards.

    Args:
        board: A board that QEMU emulates.
        elf: The node firmware built for it.

    Raises:
        ToolError: When QEMU is missing, so that no run begins without it.
        BoardError: When it does not emulate this board.
    """

    kind = "qemu"

    def __init__(self, board: Board, elf: Path) -> None:
        find_emulator(board)
        self._board = board
        self._elf = elf
        super().__init__(self._arguments)

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See :class:`fleetgrad.fleet.Fleet`."""
        room = self._board.image_bytes
        for placement in placements:
            if len(placement.image) > room:
                raise FleetError(
                    f"the samples of device {placement.device} ({placement.name}) do not fit",
                    where=f"board {self._board.id}",
                    expected=f"at most {room} bytes of data image, not {len(placement.image)}",
                    hint="lower data.limit, or use a board with more flash",
                )
        return super().start(placements, directory)

    def _arguments(self, site: Site) -> Sequence[str | Path]:
        return qemu_command(self._board, self._elf, site.image, site.address)
