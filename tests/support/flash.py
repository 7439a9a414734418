# SPDX-License-Identifier: Apache-2.0
"""The device store as a shared library, on a flash that loses power whenever a test says so."""

from __future__ import annotations

import ctypes
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("device/store.c", "device/journal.c", "device/flash.c", "wire/crc32.c")
SOURCES = [ROOT / "firmware/src" / part for part in PARTS]
FG_OK, FG_ERR_ARGUMENT, FG_ERR_SIZE, FG_ERR_CRC, FG_ERR_STATE, DEAD = 0, -1, -2, -3, -6, -99

READ = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32
)
ERASE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
PIECE = 60


class FlashStruct(ctypes.Structure):
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("sector_bytes", ctypes.c_uint32),
        ("sectors", ctypes.c_uint32),
        ("unit", ctypes.c_uint32),
        ("read", READ),
        ("program", READ),
        ("erase", ERASE),
        ("sync", SYNC),
    )


class RecordStruct(ctypes.Structure):
    _fields_ = (
        ("sequence", ctypes.c_uint32),
        ("erases", ctypes.c_uint32),
        ("tag", ctypes.c_uint32),
        ("bytes", ctypes.c_uint32),
        ("crc", ctypes.c_uint32),
        ("present", ctypes.c_bool),
    )


class StoreStruct(ctypes.Structure):
    _fields_ = (
        ("flash", ctypes.c_void_p),
        ("record", RecordStruct),
        ("slot", ctypes.c_uint8),
        ("next", RecordStruct),
        ("written", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 32),
        ("writing", ctypes.c_bool),
    )


class JournalStruct(ctypes.Structure):
    _fields_ = (("place", ctypes.c_uint32), ("chain", ctypes.c_uint32))


class PowerLost(Exception):  # noqa: N818 - an event of the simulation
    """The supply failed within an operation."""


@dataclass
class Flash:
    """A flash, its contents surviving power loss.

    Attributes:
        unit: Bytes that are programmed at a time.
        sector_bytes: Bytes that are erased at a time.
        sectors: How many there are.
        corrects: Units whose write was torn cannot be read, as where errors are corrected.
        seed: Of what torn operations leave behind.
    """

    unit: int = 8
    sector_bytes: int = 64
    sectors: int = 4
    corrects: bool = False
    seed: int = 0
    cells: bytearray = field(default_factory=bytearray)
    torn: set[int] = field(default_factory=set)
    programmed: set[int] = field(default_factory=set)
    steps: int = 0
    last_step: int | None = None
    powered: bool = True
    erasures: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Delivered erased."""
        self.cells = bytearray(b"\xff" * (self.sector_bytes * self.sectors))
        self.erasures = [0] * self.sectors
        self._random = random.Random(self.seed)

    def power_on(self, last_step: int | None = None) -> None:
        """Starts anew; power fails within the step of that number, counted from 1."""
        self.powered, self.steps, self.last_step = True, 0, last_step

    def _step(self) -> bool:
        """Whether this step is completed."""
        self.steps += 1
        self.powered = self.powered and self.steps != self.last_step
        return self.powered

    def read(self, address: int, count: int) -> bytes | None:
        """None: the bytes cannot be read."""
        units = range(address // self.unit, (address + count - 1) // self.unit + 1)
        if not self.powered or (self.corrects and self.torn & set(units)):
            return None
        return bytes(self.cells[address : address + count])

    def program(self, address: int, data: bytes) -> bool:
        """Unit by unit; each is a step."""
        assert address % self.unit == 0
        assert len(data) % self.unit == 0
        for start in range(0, len(data), self.unit):
            if not self.powered:
                return False
            index = (address + start) // self.unit
            assert index not in self.programmed, "a unit is programmed twice"
            self.programmed.add(index)
            whole = self._step()
            for i in range(self.unit):
                wanted = data[start + i] if whole else data[start + i] | self._random.randrange(256)
                self.cells[address + start + i] &= wanted
            if not whole:
                self.torn.add(index)
                start_of = index * self.unit
                untouched = self.cells[start_of : start_of + self.unit] == b"\xff" * self.unit
                if untouched and not self.corrects:
                    self.programmed.discard(index)  # as if nothing had been tried
                return False
        return True

    def erase(self, sector: int) -> bool:
        """One step; torn, some cells are erased and others are not."""
        if not self.powered:
            return False
        whole = self._step()
        self.erasures[sector] += 1
        start = sector * self.sector_bytes
        for i in range(start, start + self.sector_bytes):
            self.cells[i] |= 255 if whole else self._random.randrange(256)
        units = set(range(start // self.unit, (start + self.sector_bytes) // self.unit))
        self.programmed -= units
        self.torn = self.torn - units if whole else self.torn | units
        return whole


class Device:
    """The C store on a flash.

    Args:
        library: See `build`.
        flash: What it writes to.
    """

    def __init__(self, library: ctypes.CDLL, flash: Flash) -> None:
        self._library, self._flash = library, flash
        library.fg_store_capacity.restype = ctypes.c_uint32

        def read(_: int, address: int, target: int, count: int) -> int:
            data = flash.read(address, count)
            if data is None:
                return DEAD
            ctypes.memmove(target, data, count)
            return FG_OK

        def program(_: int, address: int, source: int, count: int) -> int:
            return FG_OK if flash.program(address, ctypes.string_at(source, count)) else DEAD

        def erase(_: int, sector: int) -> int:
            return FG_OK if flash.erase(sector) else DEAD

        self._raw = FlashStruct(
            None, flash.sector_bytes, flash.sectors, flash.unit,
            READ(read), READ(program), ERASE(erase), SYNC(lambda _: FG_OK),
        )  # fmt: skip
        self.store = StoreStruct()
        self.opened = self._call(library.fg_store_open, ctypes.byref(self._raw))

    def _call(self, function: Callable[..., int], *arguments: object) -> int:
        return int(function(ctypes.byref(self.store), *arguments))

    @property
    def capacity(self) -> int:
        """Bytes of the largest record."""
        return int(self._library.fg_store_capacity(ctypes.byref(self._raw)))

    def begin(self, tag: int, count: int) -> int:
        """See fg_store_begin()."""
        return self._call(
            self._library.fg_store_begin, ctypes.c_uint32(tag), ctypes.c_uint32(count)
        )

    def append(self, data: bytes) -> int:
        """See fg_store_append()."""
        return self._call(self._library.fg_store_append, data, ctypes.c_uint32(len(data)))

    def commit(self) -> int:
        """See fg_store_commit()."""
        return self._call(self._library.fg_store_commit)

    def spend(self) -> int:
        """See fg_store_spend()."""
        return self._call(self._library.fg_store_spend)

    def keep(self, tag: int, data: bytes, piece: int = 7) -> int:
        """A whole record; the first status that is not FG_OK."""
        status = self.begin(tag, len(data))
        for start in range(0, len(data), piece):
            status = status or self.append(data[start : start + piece])
        return status or self.commit()

    def read(self, offset: int, count: int) -> tuple[int, bytes]:
        """See fg_store_read()."""
        target = ctypes.create_string_buffer(max(1, count))
        status = self._call(
            self._library.fg_store_read,
            ctypes.c_uint32(offset), target, ctypes.c_uint32(count),
        )  # fmt: skip
        return status, target.raw[:count]

    def journal(self) -> tuple[JournalStruct, list[bytes]]:
        """What a reset has left of a journal; pieces can be added to it."""
        journal, pieces = JournalStruct(), []
        target = ctypes.create_string_buffer(PIECE)
        self._library.fg_journal_next.restype = ctypes.c_bool
        both = (ctypes.byref(journal), ctypes.byref(self.store))
        self._library.fg_journal_open(*both)
        while self._library.fg_journal_next(*both, target):
            pieces.append(target.raw[:PIECE])
        return journal, pieces

    def begin_journal(self) -> tuple[int, JournalStruct]:
        """See fg_journal_begin()."""
        journal = JournalStruct()
        status = self._library.fg_journal_begin(ctypes.byref(journal), ctypes.byref(self.store))
        return int(status), journal

    def add(self, journal: JournalStruct, piece: bytes) -> int:
        """See fg_journal_append()."""
        assert len(piece) == PIECE
        both = (ctypes.byref(journal), ctypes.byref(self.store))
        return int(self._library.fg_journal_append(*both, piece))

    def kept(self) -> tuple[int, bytes] | None:
        """Tag and bytes of the record."""
        record = self.store.record
        if not record.present:
            return None
        status, data = self.read(0, record.bytes)
        assert status == FG_OK
        return record.tag, data


def build(directory: Path) -> ctypes.CDLL:
    """Compiles the store for this machine, with the sanitizer that needs no runtime of its own."""
    library = directory / "store.so"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-g", "-O1", "-shared"]
    trap = ["-fPIC", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    command = ["gcc", *flags, *trap, f"-I{ROOT}/firmware/include", *SOURCES, "-o", library]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))
