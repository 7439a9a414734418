# SPDX-License-Identifier: Apache-2.0
"""Which kind of fleet this machine can run, and why that one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.config import Config
from fleetgrad.errors import FleetgradError, ToolError
from fleetgrad.toolchain.compilers import find_compiler, find_host
from fleetgrad.toolchain.emulator import package_of

from .fleets import KINDS


@dataclass(frozen=True)
class Choice:
    """A kind of fleet.

    Attributes:
        kind: qemu, native or virtual.
        words: What its devices are.
        why: The reason, a clause that follows "because".
    """

    kind: str
    words: str
    why: str


def choose_fleet(config: Config, asked: str | None) -> Choice:
    """The fleet that was asked for, else emulated boards, else native processes.

    Args:
        config: Names the board to emulate.
        asked: A kind of fleet, or None for the best that this machine can run.

    Raises:
        ToolError: There is neither a cross compiler with its emulator, nor a compiler for this
            machine.
    """
    if asked is not None:
        return Choice(asked, KINDS[asked].words, "that was asked for")
    try:
        board = load_board(paths.boards(), config.fleet.board)
        program = emulator_of(board)
        compiler = find_compiler(board.compiler.family)
    except ToolError as missing:
        native = find_host()
        why = f"there is {missing.what[:1].lower()}{missing.what[1:]} ({missing.hint})"
        words = f"{KINDS['native'].words}, built with {native.kind}"
        return Choice("native", words, why)
    return Choice(
        "qemu", KINDS["qemu"].words, f"{program} and {Path(compiler.command[0]).name} are installed"
    )


def emulator_of(board: Board) -> str:
    """The program that emulates a board.

    Raises:
        ToolError: It is missing.
        FleetgradError: The board has no emulator.
    """
    if board.qemu is None:
        raise FleetgradError(f"{board.id} has no emulator")
    program = board.qemu.program
    if shutil.which(program) is None:
        raise ToolError(f"no {program}", hint=f"apt install {package_of(program)}")
    return program
