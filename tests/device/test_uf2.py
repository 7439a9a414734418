# SPDX-License-Identifier: Apache-2.0
"""UF2 files, read back block by block as the format's description has them, and the drives."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.errors import BoardError, LinkError, ToolError
from fleetgrad.flash import Payload, encode_uf2, flash_as_uf2, payload_of, uf2
from fleetgrad.toolchain import build_image, find_compiler
from support.fake_model import FAKE_BUNDLE

FAMILY = 0xE48BFF56
INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n"


def read_back(data: bytes) -> dict[int, bytes]:
    """Address and content of every block; everything else about it is checked here."""
    assert len(data) % 512 == 0
    total = len(data) // 512
    blocks = {}
    for number in range(total):
        block = data[512 * number : 512 * (number + 1)]
        assert block[:8] == b"UF2\n\x57\x51\x5d\x9e"
        flags, address, size, index, count, family = struct.unpack_from("<6I", block, 8)
        assert (flags, size, index, count, family) == (0x2000, 256, number, total, FAMILY)
        assert struct.unpack_from("<I", block, 508) == (0x0AB16F30,)
        assert address % 256 == 0
        assert address not in blocks
        blocks[address] = block[32 : 32 + 256]
    return blocks


@pytest.fixture(scope="module")
def pico() -> Board:
    board = load_board(paths.boards(), "rpi_pico")
    try:
        find_compiler(board.compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    return board


@pytest.fixture(scope="module")
def payload(pico: Board, tmp_path_factory: pytest.TempPathFactory) -> Payload:
    folder = tmp_path_factory.mktemp("pico")
    elf = build_image(FAKE_BUNDLE, pico, "node", folder).path
    return payload_of(pico, elf, b"samples" * 100)


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    folder = tmp_path / "RPI-RP2"
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(INFO)
    return folder


def test_pieces_share_pages_and_gaps_stay_erased() -> None:
    pieces = [(0x1000_0000, b"\x01" * 250), (0x1000_00FC, b"\x02" * 8), (0x1000_0400, b"\x03")]
    blocks = read_back(encode_uf2(pieces, FAMILY))
    assert list(blocks) == [0x1000_0000, 0x1000_0100, 0x1000_0400]
    assert blocks[0x1000_0000] == b"\x01" * 250 + b"\xff" * 2 + b"\x02" * 4
    assert blocks[0x1000_0100] == b"\x02" * 4 + b"\xff" * 252
    assert blocks[0x1000_0400] == b"\x03" + b"\xff" * 255


def test_firmware_and_samples_are_where_the_chip_looks(payload: Payload, drive: Path) -> None:
    flash_as_uf2(payload, payload.board.uploads[0], drive)
    blocks = read_back((drive / "fleetgrad.uf2").read_bytes())
    flash = b"".join(blocks[address] for address in sorted(blocks) if address < 0x1018_0000)
    assert min(blocks) == 0x1000_0000, "the second stage of the boot comes first"
    _, reset = struct.unpack_from("<II", blocks[0x1000_0100])
    assert 0x1000_0100 < reset < 0x1000_0000 + len(flash)
    image = b"".join(blocks[address] for address in sorted(blocks) if address >= 0x1018_0000)
    assert image.rstrip(b"\xff") == b"samples" * 100


def test_the_only_drive_is_found(
    payload: Payload, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uf2, "_MOUNTS", (f"{drive.parent}/*",))
    assert uf2.drives() == [drive]
    flash_as_uf2(payload, payload.board.uploads[0], None)
    assert (drive / "fleetgrad.uf2").is_file()
    (drive.parent / "other").mkdir()
    (drive.parent / "other" / "INFO_UF2.TXT").write_text(INFO)
    with pytest.raises(LinkError, match="more than one") as caught:
        flash_as_uf2(payload, payload.board.uploads[0], None)
    assert "--drive" in caught.value.hint


def test_no_drive_says_how_to_get_one(
    payload: Payload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uf2, "_MOUNTS", (f"{tmp_path}/*",))
    for where in (None, tmp_path):
        with pytest.raises(LinkError, match="drive is mounted") as caught:
            flash_as_uf2(payload, payload.board.uploads[0], where)
        assert "BOOTSEL" in caught.value.hint


def test_another_chips_drive_is_refused_untouched(payload: Payload, drive: Path) -> None:
    (drive / "INFO_UF2.TXT").write_text(INFO.replace("RPI-RP2", "RP2350"))
    with pytest.raises(BoardError, match="RP2350"):
        flash_as_uf2(payload, payload.board.uploads[0], drive)
    assert not (drive / "fleetgrad.uf2").exists()


def test_a_drive_that_is_lost_in_the_middle_says_what_to_do(
    payload: Payload, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", lost)
    with pytest.raises(LinkError, match="lost while it was written") as caught:
        flash_as_uf2(payload, payload.board.uploads[0], drive)
    assert "same command" in caught.value.hint


def test_samples_that_do_not_fit_are_refused(pico: Board, payload: Payload) -> None:
    with pytest.raises(BoardError, match="the samples take"):
        payload_of(pico, payload.elf, bytes(pico.image_bytes + 1))
