# SPDX-License-Identifier: Apache-2.0
"""What goes into a board's flash, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleetgrad.boards import Board
from fleetgrad.errors import BoardError
from fleetgrad.toolchain.elf import Elf


@dataclass(frozen=True)
class Payload:
    """A firmware and, at its place behind it, a device's data image.

    Attributes:
        board: What it is for.
        elf: The firmware.
        image: The data image; empty where the board keeps the one that it has.
    """

    board: Board
    elf: Path
    image: bytes

    @property
    def pieces(self) -> tuple[tuple[int, bytes], ...]:
        """Address and bytes of everything to write, in ascending order."""
        parts = [*Elf(self.elf).loads, (self.board.image_address, self.image)]
        return tuple(sorted((address, data) for address, data in parts if data))


def payload_of(board: Board, elf: Path, image: bytes) -> Payload:
    """Checks that everything fits.

    Args:
        board: What it is for.
        elf: The firmware, built for it.
        image: The data image, or nothing.

    Raises:
        BoardError: When the data image is larger than its place.
    """
    if len(image) > board.image_bytes:
        raise BoardError(
            f"the samples take {len(image):,} bytes of flash",
            where=board.id,
            expected=f"at most {board.image_bytes:,}",
            hint="data.limit takes fewer of them",
        )
    return Payload(board, elf, image)
