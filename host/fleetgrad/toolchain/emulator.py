# SPDX-License-Identifier: Apache-2.0
"""How QEMU is called."""

import shutil
from pathlib import Path

from fleetgrad.boards import Board, QemuSpec
from fleetgrad.errors import BoardError, ToolError

# Every instruction takes 2^ICOUNT_SHIFT ns of virtual time, the most there is: 1024 ns are 25.6
# ticks of the 25 MHz timer, so that rounding to whole ticks never hides an instruction.
ICOUNT_SHIFT = 10


def package_of(program: str) -> str:
    """Debian's package that brings the emulator of a board."""
    return program if program == "qemu-system-arm" else "qemu-system-misc"


def qemu_command(
    board: Board,
    elf: Path,
    image_path: Path | None,
    serial_endpoint: str,
    icount: int | None = None,
) -> list[str]:
    """The command line that boots one board.

    The settings are the fastest measured for eight boards on two cores (QEMU 7.2):

    * No ``-icount`` for fleets. It gains nothing on the line (about 40 kB/s into one board, 4 to 8
      kB/s into each of eight at once, with or without), and the firmware's arithmetic takes about
      three times as long. With ``sleep=off`` an idle board burns a whole core; without any of it a
      board that waits in WFI takes less than 0.5 % of one.
    * QEMU is the one that connects (no ``server=on``): nothing polls, no port is guessed, the board
      starts when the line stands, and its first HELLO cannot be lost. TCP and UNIX sockets are
      equally fast. Without Nagle's algorithm: the UART hands over single bytes.
    * ``thread=single`` or a receive interrupt that lingers for the next byte change nothing: what a
      received byte costs (25 to 35 us) is the way from the I/O thread to the core and back.
    * No display, monitor, network or default devices: a board is ready about 40 ms after its start.

    Args:
        board: A board that QEMU emulates.
        elf: The firmware.
        image_path: Its data image; None for a board without one.
        serial_endpoint: What listens for the board: ``HOST:PORT``, or ``unix:PATH``.
        icount: Virtual nanoseconds per instruction, as a power of two: makes time a function of
            the instructions alone. None for real time.

    Returns:
        Program and arguments.

    Raises:
        ToolError: When QEMU is missing.
        BoardError: When it does not emulate this board.
    """
    spec = _spec(board)
    if serial_endpoint.startswith("unix:"):
        line = f"socket,id=line,path={_escape(serial_endpoint.removeprefix('unix:'))},server=off"
    else:
        host, _, port = serial_endpoint.rpartition(":")
        line = f"socket,id=line,host={host},port={port},server=off,nodelay=on"
    command = [*_base(board, spec, elf), "-chardev", line, "-serial", "chardev:line"]
    if image_path is not None:
        command += ["-device", _loader(image_path, board.image_address)]
    if icount is not None:
        command += ["-icount", f"shift={icount}"]
    return command


def bench_command(board: Board, elf: Path, job: Path, result: Path) -> list[str]:
    """The command line that runs the bench firmware on one job.

    Args:
        board: A board that QEMU emulates.
        elf: The bench firmware.
        job: What it should compute.
        result: The file it writes through semihosting.

    Returns:
        Program and arguments.

    Raises:
        ToolError: When QEMU is missing.
        BoardError: When it does not emulate this board.
    """
    spec = _spec(board)
    return [
        *_base(board, spec, elf),
        "-serial",
        "none",
        "-device",
        _loader(job, spec.job_address),
        "-semihosting-config",
        f"enable=on,target=native,arg={_escape(str(result))}",
        "-icount",
        f"shift={ICOUNT_SHIFT}",
    ]


def _spec(board: Board) -> QemuSpec:
    if board.qemu is None:
        raise BoardError(
            f"QEMU does not emulate {board.id}",
            where=str(board.folder / "board.toml"),
            expected="a table [qemu]",
        )
    return board.qemu


def find_emulator(board: Board) -> Path:
    """The program that emulates a board.

    Raises:
        ToolError: When QEMU is missing.
        BoardError: When it does not emulate this board.
    """
    spec = _spec(board)
    program = shutil.which(spec.program)
    if program is None:
        raise ToolError(
            f"no emulator for {board.id}",
            expected=f"{spec.program} in PATH",
            hint=f"apt install {package_of(spec.program)};"
            " or --fleet native, which needs no emulator",
        )
    return Path(program)


def _base(board: Board, spec: QemuSpec, elf: Path) -> list[str]:
    program = str(find_emulator(board))
    quiet = ["-nodefaults", "-nic", "none", "-display", "none", "-monitor", "none"]
    return [program, "-machine", spec.machine, *spec.options, *quiet, "-kernel", str(elf)]


def _loader(file: Path, address: int) -> str:
    return f"loader,file={_escape(str(file))},addr={address:#x},force-raw=on"


def _escape(value: str) -> str:
    """QEMU splits its options at commas; a doubled one stands for itself."""
    return value.replace(",", ",,")
