# SPDX-License-Identifier: Apache-2.0
"""The little of the ELF format that sizes, the stack bound and flashing need."""

import struct
from dataclasses import dataclass
from pathlib import Path

from fleetgrad.errors import ToolError

PT_LOAD = 1
SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 2, 4, 8, 9
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
STT_FUNC, STT_SECTION = 2, 3


@dataclass(frozen=True)
class Section:
    """A section's header.

    Attributes:
        name: Its name.
        kind: ``SHT_*``.
        flags: ``SHF_*``.
        address: In memory, after linking.
        offset: In the file.
        size: Bytes.
        link: Index of another section; which, depends on ``kind``.
        info: Likewise.
        entry: Bytes of one entry, in a table.
    """

    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    entry: int

    @property
    def allocated(self) -> bool:
        """Takes memory at run time."""
        return bool(self.flags & SHF_ALLOC)

    @property
    def executable(self) -> bool:
        """Holds code."""
        return bool(self.flags & SHF_EXECINSTR)

    @property
    def writable(self) -> bool:
        """Changes at run time."""
        return bool(self.flags & SHF_WRITE)

    @property
    def empty_in_file(self) -> bool:
        """Starts as zeros, or not at all."""
        return self.kind == SHT_NOBITS


@dataclass(frozen=True)
class Symbol:
    """A symbol: name, value, type (``STT_*``) and the section it lies in."""

    name: str
    value: int
    kind: int
    section: int


class Elf:
    """An object file or a linked image, 32 or 64 bits, little-endian.

    Args:
        path: The file.

    Raises:
        ToolError: When it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._data = data = path.read_bytes()
        self._path = path
        if data[:4] != b"\x7fELF" or data[5:6] != b"\x01":
            raise ToolError(
                "not a little-endian ELF file",
                where=str(path),
                hint="native builds work on Linux and other systems with ELF files",
            )
        self.wide = data[4] == 2
        header = struct.Struct("<16sHHIQQQIHHHHHH" if self.wide else "<16sHHIIIIIHHHHHH")
        fields = header.unpack_from(data)
        self._sections_at, self._section_bytes, count, names = (
            fields[6], fields[11], fields[12], fields[13]
        )  # fmt: skip
        raw = [self._raw_section(i) for i in range(count)]
        strings = raw[names][4]
        self.sections = tuple(
            Section(self._string(strings + r[0]), r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[9])
            for r in raw
        )
        self.symbols = self._read_symbols()
        self._segments_at, self._segment_bytes, self._segment_count = fields[5], *fields[9:11]

    @property
    def loads(self) -> tuple[tuple[int, bytes], ...]:
        """Physical address and bytes of what a loader writes, as the file has them."""
        layout = struct.Struct("<IIQQQQQQ" if self.wide else "<IIIIIIII")
        found = []
        for index in range(self._segment_count):
            raw = layout.unpack_from(self._data, self._segments_at + index * self._segment_bytes)
            offset, address, size = (raw[2], raw[4], raw[5]) if self.wide else (raw[1], *raw[3:5])
            if raw[0] == PT_LOAD and size:
                found.append((address, self._data[offset : offset + size]))
        return tuple(found)

    def pointers(self, section: str) -> tuple[str, ...]:
        """Names of the functions that a section of an object file holds the addresses of.

        Args:
            section: Its name, e.g. ``.rodata.fg_generated_model``.

        Returns:
            Names in the order of their places, without repetitions.
        """
        names: dict[str, None] = {}
        for table in self.sections:
            if table.kind not in (SHT_REL, SHT_RELA):
                continue
            if self.sections[table.info].name != section:
                continue
            for index in range(table.size // table.entry):
                name = self._function(self._relocation(table, index))
                if name:
                    names[name] = None
        return tuple(names)

    def _raw_section(self, index: int) -> tuple[int, ...]:
        layout = struct.Struct("<IIQQQQIIQQ" if self.wide else "<IIIIIIIIII")
        return layout.unpack_from(self._data, self._sections_at + index * self._section_bytes)

    def _string(self, at: int) -> str:
        return self._data[at : self._data.index(b"\0", at)].decode("utf-8", "replace")

    def _read_symbols(self) -> tuple[Symbol, ...]:
        table = next((s for s in self.sections if s.kind == SHT_SYMTAB), None)
        if table is None:
            return ()
        strings = self.sections[table.link].offset
        symbols = []
        for index in range(table.size // table.entry):
            at = table.offset + index * table.entry
            if self.wide:
                name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", self._data, at)
            else:
                name, value, _, info, _, section = struct.unpack_from("<IIIBBH", self._data, at)
            symbols.append(Symbol(self._string(strings + name), value, info & 15, section))
        return tuple(symbols)

    def _relocation(self, table: Section, index: int) -> Symbol:
        at = table.offset + index * table.entry
        if self.wide:
            wide: int = struct.unpack_from("<Q", self._data, at + 8)[0]
            return self.symbols[wide >> 32]
        narrow: int = struct.unpack_from("<I", self._data, at + 4)[0]
        return self.symbols[narrow >> 8]

    def _function(self, symbol: Symbol) -> str:
        """A static function may be named by its section, which -ffunction-sections made for it."""
        if symbol.kind == STT_SECTION:
            name = self.sections[symbol.section].name
            return name.removeprefix(".text.") if name.startswith(".text.") else ""
        if symbol.kind == STT_FUNC or symbol.section == 0:  # 0: defined in another object
            return symbol.name
        return ""
