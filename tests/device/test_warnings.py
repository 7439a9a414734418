# SPDX-License-Identifier: Apache-2.0
"""All C of the firmware compiles without a warning, stricter than any build asks for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, list_boards, load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import find_compiler
from support.fake_model import FAKE_BUNDLE

FIRMWARE = paths.firmware()
FLAGS = [
    "-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-Wdouble-promotion", "-Wconversion",
    "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef",
    "-DFG_FIRMWARE_HASH=1U", "-fsyntax-only",
]  # fmt: skip

RUNTIME = [*sorted((FIRMWARE / "src").rglob("*.c")), FAKE_BUNDLE / "model.c"]
CHIPS = [board for board in list_boards(paths.boards()) if not board.hosted]


def check(compiler: Sequence[str], flags: Sequence[str], parts: Sequence[Path]) -> None:
    """Compiles the runtime and all C below some folders, which may have headers too."""
    sources = [*RUNTIME, *(file for part in parts for file in sorted(part.rglob("*.c")))]
    folders = [f"-I{folder}" for folder in (FIRMWARE / "include", FAKE_BUNDLE, *parts)]
    done = subprocess.run(
        [*compiler, *FLAGS, *flags, *folders, *map(str, sources)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_no_source_for_this_machine_gives_a_warning(compiler: str) -> None:
    program = shutil.which(compiler)
    if program is None:
        pytest.skip(f"{compiler} is not installed")
    port = FIRMWARE / "port"
    hosted = ("native", "stream_line", "virtual", "fleet")
    parts = [*(port / part for part in hosted), FIRMWARE / "app/node"]
    check([program], [], parts)
    check([program], ["-DFG_WIDE_LOOPS"], [port / "virtual", port / "fleet"])


def test_no_source_for_a_broker_gives_a_warning() -> None:
    compiler = find_compiler("host").command
    if not Path("/usr/include/mosquitto.h").exists():
        pytest.skip("no libmosquitto: apt install libmosquitto-dev")
    flags = load_board(paths.boards(), "native_mqtt").compiler.flags
    check(compiler, flags, [FIRMWARE / "port" / part for part in ("native", "mqtt_line")])


@pytest.mark.parametrize("board", CHIPS, ids=lambda board: board.id)
def test_no_source_for_a_chip_gives_a_warning(board: Board) -> None:
    try:
        compiler = find_compiler(board.compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    parts = [FIRMWARE / "port" / part for part in board.port]
    check(compiler.command, board.compiler.flags, [*parts, board.folder, FIRMWARE / "app"])
