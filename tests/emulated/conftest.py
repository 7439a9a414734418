# SPDX-License-Identifier: Apache-2.0
"""Emulated boards: all of this skips, saying why, where compiler or emulator is missing."""

from __future__ import annotations

import shutil

import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import find_compiler


@pytest.fixture(scope="session")
def mps2() -> Board:
    board = load_board(paths.boards(), "mps2_an386")
    assert board.qemu is not None
    if shutil.which(board.qemu.program) is None:
        pytest.skip(f"no emulator: {board.qemu.program} is not installed")
    try:
        find_compiler(board.compiler.family)
    except ToolError as error:
        pytest.skip(f"no cross compiler: {error.what}")
    return board
