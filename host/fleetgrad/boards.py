# SPDX-License-Identifier: Apache-2.0
"""Boards: ``boards/<id>/board.toml`` as typed, validated, frozen values."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetgrad.errors import BoardError
from fleetgrad.toml_table import TomlTable

FILE_NAME = "board.toml"
CHIP_FILES = ("link.ld", "board.h")
VERIFIED = ("native", "emulated", "compiled")
"""How far a board's firmware got here: it ran on this machine itself, it ran in an emulator, it
compiled and linked and no more."""
FAMILIES = ("arm-none-eabi", "riscv64-unknown-elf", "xtensa-lx106-elf", "host")
UPLOADERS = ("pyocd", "uf2")

_RESERVED = ("RAM", "FLASH", "VECTORS")  # names of memory in every linker script


@dataclass(frozen=True)
class CompilerSpec:
    """How to compile for a board.

    Attributes:
        family: Prefix of the cross compiler's programs, or ``host``.
        flags: For the compiler, after the flags that every build has.
        link_flags: For the linker's call of the compiler.
        exception_frame_bytes: What the core pushes on the stack when an interrupt comes; 0 where
            an operating system provides the stack.
    """

    family: str
    flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    exception_frame_bytes: int


@dataclass(frozen=True)
class QemuSpec:
    """How QEMU emulates a board.

    Attributes:
        program: Its executable.
        machine: Its name of the board.
        options: What else it must be told.
        timer_hz: Rate of the clock that the bench firmware reads.
        job_address: Where the bench firmware finds its job.
        job_bytes: How large a job may be.
    """

    program: str
    machine: str
    options: tuple[str, ...]
    timer_hz: int
    job_address: int
    job_bytes: int


@dataclass(frozen=True)
class UploadSpec:
    """How to put firmware on a board.

    Attributes:
        tool: One of `UPLOADERS`.
        target: What the tool calls the chip or board.
        pack: What the tool must install to know it; empty where it knows it already.
        family: Of the chip, in UF2 files; 0 elsewhere.
    """

    tool: str
    target: str
    pack: str
    family: int


@dataclass(frozen=True)
class MemoryRegion:
    """Memory besides the main one: core-coupled, on another bus, or outside of the chip.

    Attributes:
        name: What the linker calls it.
        address: Where it begins.
        bytes: How large it is.
        rank: Below 0 where it is faster than the main memory, above where it is slower; the larger
            the slower.
    """

    name: str
    address: int
    bytes: int
    rank: int


@dataclass(frozen=True)
class Board:
    """One kind of board.

    Attributes:
        id: Its folder's name.
        name: For people.
        core: Processor core, or ``host``.
        port: Folders in firmware/port that make up its port.
        verified: One of `VERIFIED`.
        evidence: On what, and what that leaves open.
        compiler: How to compile for it.
        flash_bytes: Room for code and weights.
        ram_bytes: Room for everything that changes, stack included.
        stack_bytes: The most that the stack may need; 0 where an operating system provides it.
        image_address: Where the data image lies in flash.
        image_bytes: How large it may be; 0 where it is a file.
        store_address: Where the flash lies that keeps what must outlive a reset.
        store_bytes: How large it is; 0 where there is none, or it is a file.
        qemu: How to emulate it; None when QEMU cannot.
        regions: Memory besides the main one.
        uploads: How to flash it, the preferred way first; none where it cannot be.
        instructions: What its kernels cost, by kind: for a multiply-accumulate, and for a value
            made; empty where nobody has measured them.
        folder: With ``board.toml`` and, for a chip, ``board.h`` and ``link.ld``.
    """

    id: str
    name: str
    core: str
    port: tuple[str, ...]
    verified: str
    evidence: str
    compiler: CompilerSpec
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    image_address: int
    image_bytes: int
    store_address: int
    store_bytes: int
    qemu: QemuSpec | None
    instructions: Mapping[str, tuple[float, float]]
    folder: Path
    regions: tuple[MemoryRegion, ...] = ()
    uploads: tuple[UploadSpec, ...] = ()

    @property
    def hosted(self) -> bool:
        """A process or library of this machine rather than a chip."""
        return self.compiler.family == "host"

    @property
    def emulators(self) -> tuple[str, ...]:
        """Names of the emulators that run it."""
        return ("qemu",) if self.qemu else ()

    @property
    def uploaders(self) -> tuple[str, ...]:
        """Names of the tools that flash it."""
        return tuple(upload.tool for upload in self.uploads)


def list_boards(folder: Path) -> tuple[Board, ...]:
    """All boards below ``folder``, by id.

    Raises:
        BoardError: When a board.toml is malformed.
    """
    return tuple(_read(path) for path in sorted(folder.glob(f"*/{FILE_NAME}")))


def load_board(folder: Path, board_id: str) -> Board:
    """One board.

    Args:
        folder: The folder of all boards.
        board_id: Its name there.

    Raises:
        BoardError: When there is no such board (the nearest name is suggested) or its file is
            malformed.
    """
    known = sorted(path.parent.name for path in folder.glob(f"*/{FILE_NAME}"))
    if board_id not in known:
        near = difflib.get_close_matches(board_id, known, n=1, cutoff=0.5)
        raise BoardError(
            f"no board is called {board_id!r}",
            where=str(folder),
            expected=f"one of {', '.join(known)}" if known else "at least one board.toml",
            hint=f"did you mean {near[0]}?" if near else "fleetgrad boards lists them",
        )
    return _read(folder / board_id / FILE_NAME)


def _required(table: TomlTable, key: str) -> TomlTable:
    found = table.table(key)
    assert found is not None  # only an optional table can be absent
    return found


def _read(path: Path) -> Board:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BoardError(f"not a readable {FILE_NAME}: {error}", where=str(path)) from error
    top = TomlTable(path, "", tree)
    compiler = _required(top, "compiler")
    memory = _required(top, "memory")
    regions = memory.tables("region")
    image = top.table("image", optional=True)
    store = top.table("store", optional=True)
    qemu = top.table("qemu", optional=True)
    uploads = top.tables("upload")
    instructions = top.table("instructions", optional=True)
    board = Board(
        id=top.take("id", str),
        name=top.take("name", str),
        core=top.take("core", str),
        port=top.words("port"),
        verified=top.take("verified", str),
        evidence=top.take("evidence", str),
        compiler=CompilerSpec(
            family=compiler.take("family", str),
            flags=compiler.words("flags"),
            link_flags=compiler.words("link_flags"),
            exception_frame_bytes=compiler.size("exception_frame_bytes", 0),
        ),
        flash_bytes=memory.size("flash_bytes"),
        ram_bytes=memory.size("ram_bytes"),
        stack_bytes=memory.size("stack_bytes", 0),
        image_address=image.size("address") if image else 0,
        image_bytes=image.size("bytes") if image else 0,
        store_address=store.size("address") if store else 0,
        store_bytes=store.size("bytes") if store else 0,
        qemu=None
        if qemu is None
        else QemuSpec(
            program=qemu.take("program", str),
            machine=qemu.take("machine", str),
            options=qemu.words("options", ()),
            timer_hz=qemu.size("timer_hz"),
            job_address=qemu.size("job_address"),
            job_bytes=qemu.size("job_bytes"),
        ),
        instructions=instructions.pairs() if instructions else {},
        folder=path.parent,
        regions=tuple(
            MemoryRegion(
                name=one.take("name", str),
                address=one.size("address"),
                bytes=one.size("bytes"),
                rank=one.take("rank", int),
            )
            for one in regions
        ),
        uploads=tuple(
            UploadSpec(
                tool=one.take("tool", str),
                target=one.take("target", str),
                pack=one.take("pack", str, ""),
                family=one.size("family", 0),
            )
            for one in uploads
        ),
    )
    for table in (*regions, *uploads, top, compiler, memory, image, store, qemu):
        if table is not None:
            table.done()
    _check(board, path)
    return board


def _check(board: Board, path: Path) -> None:
    """What the rest of the host relies on without looking again."""
    problem = ""
    wanted = () if board.hosted else CHIP_FILES
    missing = [name for name in wanted if not (board.folder / name).is_file()]
    if board.id != path.parent.name:
        problem = f"the id {board.id!r} is not the folder's name {path.parent.name!r}"
    elif board.compiler.family not in FAMILIES:
        problem = f"the compiler family {board.compiler.family!r} is none of {', '.join(FAMILIES)}"
    elif board.verified not in VERIFIED:
        problem = f"verified = {board.verified!r} is none of {', '.join(VERIFIED)}"
    elif (board.verified == "emulated") != (board.qemu is not None):
        problem = (
            f"verified = {board.verified!r}, but there is {'a' if board.qemu else 'no'} [qemu]"
        )
    elif missing:
        problem = f"a board that is a chip needs a {missing[0]} beside its {FILE_NAME}"
    elif not board.hosted and board.stack_bytes % 16:
        problem = f"stack_bytes {board.stack_bytes} is not a multiple of 16"
    elif not board.hosted and not 0 < board.stack_bytes < board.ram_bytes:
        problem = f"a stack of {board.stack_bytes} bytes in {board.ram_bytes} bytes of RAM"
    for upload in board.uploads:
        if upload.tool not in UPLOADERS:
            problem = f"the uploader {upload.tool!r} is none of {', '.join(UPLOADERS)}"
    names = [region.name for region in board.regions]
    for region in board.regions:
        if (
            not region.name.isidentifier()
            or region.name in _RESERVED
            or names.count(region.name) > 1
        ):
            problem = f"a region cannot be called {region.name!r}"
        elif not region.rank or not region.bytes:
            problem = f"the region {region.name} has a rank of {region.rank}, {region.bytes} bytes"
    if problem:
        raise BoardError(problem, where=str(path))
