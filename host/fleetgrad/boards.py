# SPDX-License-Identifier: Apache-2.0
"""Boards: ``boards/<id>/board.toml`` as typed, validated, frozen values."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fleetgrad.errors import BoardError

FILE_NAME = "board.toml"
CHIP_FILES = ("link.ld", "board.h")
VERIFIED = ("native", "emulated", "compiled")
"""How far a board's firmware got here: it ran on this machine itself, it ran in an emulator, it
compiled and linked and no more."""
FAMILIES = ("arm-none-eabi", "riscv64-unknown-elf", "xtensa-lx106-elf", "host")

_RESERVED = ("RAM", "FLASH", "VECTORS")  # names of memory in every linker script

_T = TypeVar("_T", str, int)


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
        qemu: How to emulate it; None when QEMU cannot.
        regions: Memory besides the main one.
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
    qemu: QemuSpec | None
    instructions: Mapping[str, tuple[float, float]]
    folder: Path
    regions: tuple[MemoryRegion, ...] = ()

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
        return ()


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


class _Table:
    """A TOML table that is emptied key by key; what is left in the end is misspelt."""

    def __init__(self, path: Path, name: str, values: dict[str, Any]) -> None:
        self._path = path
        self._name = name
        self._values = dict(values)
        self._known: list[str] = []

    def key(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def fail(self, key: str, what: str, expected: str) -> BoardError:
        return BoardError(what, where=f"{self._path}, {self.key(key)}", expected=expected)

    def take(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        self._known.append(key)
        value = self._values.pop(key, default)
        if value is None:
            raise self._missing(key, "a string" if kind is str else "an integer")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.fail(key, f"{value!r} has the wrong type", f"a {kind.__name__}")
        return value

    def size(self, key: str, default: int | None = None) -> int:
        value = self.take(key, int, default)
        if not 0 <= value < 2**32:
            raise self.fail(key, f"{value} is out of range", "0 to 2^32-1")
        return value

    def words(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        self._known.append(key)
        if default is not None and key not in self._values:
            return default
        value = self._values.pop(key, None)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.fail(key, "missing or of the wrong type", "a list of strings")
        return tuple(value)

    def pairs(self) -> dict[str, tuple[float, float]]:
        """All keys of a table whose values are two numbers, 0 or more, each."""
        made = {}
        for key in tuple(self._values):
            value = self._values.pop(key)
            right = isinstance(value, list) and len(value) == 2
            if not right or not all(type(n) in {int, float} and 0 <= n < 1e6 for n in value):
                raise self.fail(key, f"{value!r} has the wrong type", "two numbers, 0 or more")
            made[key] = (float(value[0]), float(value[1]))
        return made

    def table(self, key: str, *, optional: bool = False) -> "_Table | None":
        self._known.append(key)
        value = self._values.pop(key, None)
        if value is None and optional:
            return None
        if not isinstance(value, dict):
            raise self._missing(key, f"a table [{self.key(key)}]")
        return _Table(self._path, self.key(key), value)

    def tables(self, key: str) -> "list[_Table]":
        self._known.append(key)
        value = self._values.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.fail(key, "not a list of tables", f"[[{self.key(key)}]]")
        return [_Table(self._path, self.key(key), one) for one in value]

    def done(self) -> None:
        for key in self._values:
            near = difflib.get_close_matches(key, self._known, n=1, cutoff=0.5)
            raise BoardError(
                f"unknown key {key!r}",
                where=f"{self._path}, {self.key(key)}",
                expected=f"one of {', '.join(sorted(self._known))}",
                hint=f"did you mean {near[0]}?" if near else "",
            )

    def _missing(self, key: str, expected: str) -> BoardError:
        near = difflib.get_close_matches(key, self._values, n=1, cutoff=0.5)
        return BoardError(
            f"the key {key!r} is missing",
            where=f"{self._path}, {self.key(key)}",
            expected=expected,
            hint=f"is {near[0]!r} a misspelling of it?" if near else "",
        )


def _required(table: _Table, key: str) -> _Table:
    found = table.table(key)
    assert found is not None  # only an optional table can be absent
    return found


def _read(path: Path) -> Board:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BoardError(f"not a readable {FILE_NAME}: {error}", where=str(path)) from error
    top = _Table(path, "", tree)
    compiler = _required(top, "compiler")
    memory = _required(top, "memory")
    regions = memory.tables("region")
    image = top.table("image", optional=True)
    qemu = top.table("qemu", optional=True)
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
    )
    for table in (*regions, top, compiler, memory, image, qemu):
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
