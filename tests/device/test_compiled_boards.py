# SPDX-License-Identifier: Apache-2.0
"""Boards that no emulator has: their firmware compiles and links, and lies where the chip looks."""

from __future__ import annotations

import itertools
import re
import struct
from pathlib import Path

import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, list_boards, load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import Image, build_image, find_compiler
from fleetgrad.toolchain.elf import Elf
from support.fake_model import FAKE_BUNDLE

COMPILED = [board for board in list_boards(paths.boards()) if board.verified == "compiled"]
BOOT2_BYTES = 256
CRC_POLYNOMIAL = 0x04C11DB7


def build(board: Board, folder: Path) -> Image:
    try:
        find_compiler(board.compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    return build_image(FAKE_BUNDLE, board, "node", folder)


def content(image: Image, name: str) -> tuple[int, bytes]:
    """Address and bytes of a section."""
    section = next(one for one in Elf(image.path).sections if one.name == name)
    return section.address, image.path.read_bytes()[section.offset :][: section.size]


def origin(script: str, memory: str) -> int:
    """Where a memory of a linker script begins."""
    found = re.search(rf"^\s*{memory}\s.*ORIGIN = (0x[0-9a-fA-F]+)", script, re.MULTILINE)
    assert found is not None
    return int(found[1], 16)


@pytest.mark.parametrize("board", COMPILED, ids=lambda board: board.id)
def test_the_firmware_compiles_and_lies_where_the_chip_looks(board: Board, tmp_path: Path) -> None:
    image = build(board, tmp_path)
    assert 0 < image.flash_bytes <= board.flash_bytes
    assert 0 < image.ram_bytes <= board.ram_bytes
    assert 0 < image.stack_bytes <= image.stack_reserved_bytes <= board.stack_bytes
    script = (board.folder / "link.ld").read_text()
    address, vectors = content(image, ".vectors")
    flash = origin(script, "FLASH")
    assert address == (origin(script, "VECTORS") if "VECTORS (rx)" in script else flash)
    stack_top, reset = struct.unpack_from("<II", vectors)
    assert stack_top == origin(script, "RAM") + image.stack_reserved_bytes
    assert reset & 1, "Thumb code"
    assert flash < reset < flash + image.flash_bytes
    places = [
        range(flash, flash + image.flash_bytes),
        range(board.image_address, board.image_address + board.image_bytes),
        range(board.store_address, board.store_address + board.store_bytes),
    ]
    for one, other in itertools.combinations(places, 2):
        assert one.stop <= other.start or other.stop <= one.start or not other


@pytest.mark.parametrize("board", COMPILED, ids=lambda board: board.id)
def test_two_builds_agree_byte_for_byte(board: Board, tmp_path: Path) -> None:
    first, second = (build(board, tmp_path / name).path.read_bytes() for name in ("a", "b"))
    assert first == second


def test_the_rp2040s_rom_accepts_the_second_stage(tmp_path: Path) -> None:
    address, stage = content(build(load_board(paths.boards(), "rpi_pico"), tmp_path), ".boot2")
    assert (address, len(stage)) == (0x10000000, BOOT2_BYTES)
    crc = 0xFFFFFFFF  # CRC-32/MPEG-2, bit by bit
    for byte in stage[:-4]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ CRC_POLYNOMIAL if crc & 1 << 31 else crc << 1) & 0xFFFFFFFF
    assert struct.unpack("<I", stage[-4:]) == (crc,)
