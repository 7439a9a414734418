# SPDX-License-Identifier: Apache-2.0
"""How QEMU is called; nothing here needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.errors import BoardError, ToolError
from fleetgrad.toolchain.emulator import bench_command, qemu_command

ELF = Path("/a/node.elf")


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """The emulated board, with a QEMU that is only a name."""
    program = tmp_path / "qemu-system-arm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return load_board(paths.boards(), "mps2_an386")


def test_a_board_connects_to_a_port(board: Board) -> None:
    command = qemu_command(board, ELF, Path("/d/image.bin"), "127.0.0.1:4000")
    assert command[command.index("-machine") + 1] == "mps2-an386"
    assert command[command.index("-kernel") + 1] == str(ELF)
    line = command[command.index("-chardev") + 1]
    assert "host=127.0.0.1,port=4000,server=off" in line
    assert "loader,file=/d/image.bin,addr=0x300000,force-raw=on" in command
    assert "-icount" not in command


def test_a_board_connects_to_a_socket_file_and_counts(board: Board) -> None:
    command = qemu_command(board, ELF, None, "unix:/run/a,b", icount=5)
    assert "path=/run/a,,b," in command[command.index("-chardev") + 1]
    assert command[command.index("-icount") + 1] == "shift=5"
    assert "-device" not in command


def test_semihosting_is_for_the_bench_alone(board: Board) -> None:
    assert "-semihosting-config" not in qemu_command(board, ELF, None, "127.0.0.1:1")
    command = bench_command(board, ELF, Path("/d/job"), Path("/d/result"))
    config = command[command.index("-semihosting-config") + 1]
    assert config == "enable=on,target=native,arg=/d/result"


def test_a_board_says_what_else_its_emulator_needs(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "qemu-system-arm").rename(tmp_path / "qemu-system-riscv32")
    command = qemu_command(load_board(paths.boards(), "riscv_virt"), ELF, None, "127.0.0.1:1")
    assert command[command.index("-bios") + 1] == "none"
    assert command[command.index("-cpu") + 1].startswith("rv32,")


@pytest.mark.parametrize(
    ("board_id", "package"),
    [
        ("mps2_an386", "qemu-system-arm"),
        ("riscv_virt", "qemu-system-misc"),
        ("lx106_sim", "qemu-system-misc"),
    ],
)
def test_a_missing_emulator_comes_with_a_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, board_id: str, package: str
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolError) as caught:
        qemu_command(load_board(paths.boards(), board_id), ELF, None, "127.0.0.1:1")
    assert f"apt install {package};" in caught.value.hint


def test_a_host_is_not_emulated() -> None:
    native = load_board(paths.boards(), "native")
    with pytest.raises(BoardError, match="does not emulate native"):
        qemu_command(native, ELF, None, "127.0.0.1:1")
