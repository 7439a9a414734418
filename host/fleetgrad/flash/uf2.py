# SPDX-License-Identifier: Apache-2.0
"""UF2: boards whose boot loader is a USB drive, on which a file is copied.

The format is Microsoft's (github.com/microsoft/uf2): blocks of 512 bytes, each with its own address
and 256 bytes to write there.
"""

from __future__ import annotations

import glob
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from fleetgrad.boards import UploadSpec
from fleetgrad.errors import BoardError, LinkError
from fleetgrad.flash.payload import Payload

_MAGIC = (0x0A324655, 0x9E5D5157)
_END = 0x0AB16F30
_HAS_FAMILY = 0x00002000
_PAGE = 256
_INFO = "INFO_UF2.TXT"
_FILE = "fleetgrad.uf2"
_MOUNTS = ("/media/*/*", "/media/*", "/run/media/*/*", "/Volumes/*", "[D-Z]:/")


def encode_uf2(pieces: Iterable[tuple[int, bytes]], family: int) -> bytes:
    """The file that a boot loader takes.

    Args:
        pieces: Address and bytes; they may share a page of 256 bytes, but no byte.
        family: Which kind of chip it is for.

    Returns:
        One block for every page that is touched; what no piece says of a page is 0xFF.
    """
    pages: dict[int, bytearray] = {}
    for address, data in pieces:
        for offset, byte in enumerate(data, address):
            content = pages.setdefault(offset // _PAGE, bytearray(b"\xff" * _PAGE))
            content[offset % _PAGE] = byte
    blocks = []
    for number, (page, content) in enumerate(sorted(pages.items())):
        head = struct.pack(
            "<8I", *_MAGIC, _HAS_FAMILY, page * _PAGE, _PAGE, number, len(pages), family
        )
        blocks.append(head + bytes(content).ljust(476, b"\0") + struct.pack("<I", _END))
    return b"".join(blocks)


def drives() -> list[Path]:
    """Boot loaders' drives that are mounted now."""
    found = [Path(path) for pattern in _MOUNTS for path in glob.glob(pattern)]  # noqa: PTH207
    return sorted(path for path in found if (path / _INFO).is_file())


def flash_as_uf2(payload: Payload, spec: UploadSpec, drive: Path | None) -> None:
    """Copies everything to a board's drive; the board then starts by itself.

    Args:
        payload: What to write.
        spec: The board's name in its boot loader, and its family.
        drive: Where the drive is mounted; None: wherever one is.

    Raises:
        LinkError: No drive, more than one, or it vanished in the middle.
        BoardError: The drive is another kind of board's.
    """
    drive = _only(drives(), payload.board.id) if drive is None else drive
    try:
        info = (drive / _INFO).read_text(errors="replace")
    except OSError as error:
        raise LinkError(
            "no boot loader's drive is mounted here",
            where=str(drive),
            expected=f"a folder with {_INFO}",
            hint=_ENTER,
        ) from error
    name = next((w.split(":", 1)[1].strip() for w in info.splitlines() if "Board-ID:" in w), "")
    if name != spec.target:
        raise BoardError(
            f"the board on this drive says that it is {name or 'nothing known'}",
            where=str(drive),
            expected=f"{spec.target}, as {payload.board.id} says",
            hint="fleetgrad boards lists the others",
        )
    data = encode_uf2(payload.pieces, spec.family)
    try:
        with (drive / _FILE).open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())
    except OSError as error:
        raise LinkError(
            f"the drive was lost while it was written: {error.strerror or error}",
            where=str(drive),
            hint="the boot loader is in the chip's ROM and still there: hold BOOTSEL down, plug the"
            " board in again, and run the same command",
        ) from error


_ENTER = "hold BOOTSEL down while you plug the board in; or name the drive with --drive"


def _only(found: list[Path], board: str) -> Path:
    if len(found) == 1:
        return found[0]
    if not found:
        raise LinkError("no boot loader's drive is mounted", where=board, hint=_ENTER)
    raise LinkError(
        "more than one boot loader's drive is mounted",
        where=", ".join(map(str, found)),
        hint="name one with --drive",
    )
