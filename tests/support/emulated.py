# SPDX-License-Identifier: Apache-2.0
"""Boards in emulators, for tests: which there are, and one that runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from fleetgrad import paths
from fleetgrad.boards import Board, list_boards, load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import find_compiler
from fleetgrad.toolchain.emulator import find_emulator, qemu_command
from fleetgrad.wire.messages import SCHEMA_HASH, Hello, HelloRequest
from support.socket_line import Line

if TYPE_CHECKING:
    from types import TracebackType

EMULATED = tuple(board.id for board in list_boards(paths.boards()) if board.qemu is not None)


def usable(board_id: str) -> Board:
    """The board, or a skip that says what is missing here."""
    board = load_board(paths.boards(), board_id)
    try:
        find_emulator(board)
        find_compiler(board.compiler.family)
    except ToolError as error:
        pytest.skip(f"{error.what}: {error.hint}")
    return board


class Machine:
    """A board that runs, and its line. Ends with the ``with`` block.

    Args:
        board: The board.
        elf: Its firmware.
        folder: For the data image and a socket.
        image: Data image; None for none.
        unix: The line is a UNIX socket instead of TCP.
        icount: See :func:`fleetgrad.toolchain.emulator.qemu_command`.
    """

    def __init__(
        self, board: Board, elf: Path, folder: Path, image: bytes | None,
        *, unix: bool = False, icount: int | None = None,
    ) -> None:  # fmt: skip
        path = None
        if image is not None:
            path = folder / "image.bin"
            path.write_bytes(image)
        if unix:
            server = socket.socket(socket.AF_UNIX)
            server.bind(str(folder / "line"))
            server.listen()
            endpoint = f"unix:{folder / 'line'}"
        else:
            server = socket.create_server(("127.0.0.1", 0))
            endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        server.settimeout(20)
        self._panel = folder / "panel"
        command = qemu_command(board, elf, path, endpoint, icount)
        command += ["-qmp", f"unix:{self._panel},server=on,wait=off"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            connection, _ = server.accept()
        except TimeoutError:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            server.close()
        connection.settimeout(60)
        self.line = Line(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.line.connection.close()
        self._process.kill()
        self._process.wait()

    def cpu_seconds(self) -> float:
        """What the emulator has computed so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(field) for field in fields[11:13]) / os.sysconf("SC_CLK_TCK")

    def reset(self) -> None:
        """Pulls the board's reset line: RAM and flash stay, its program starts again."""
        with socket.socket(socket.AF_UNIX) as panel:
            panel.settimeout(20)
            panel.connect(str(self._panel))
            with panel.makefile("rw") as words:
                words.readline()
                for command in ("qmp_capabilities", "system_reset"):
                    words.write(json.dumps({"execute": command}))
                    words.flush()
                    while "return" not in json.loads(words.readline()):
                        pass

    def hello(self) -> Hello:
        """The next message, which must be a HELLO."""
        message = self.line.next()
        assert isinstance(message, Hello)
        return message

    def greet(self) -> Hello:
        """Opens a session."""
        self.line.send(HelloRequest(1, 1, 1024, SCHEMA_HASH))
        return self.hello()
