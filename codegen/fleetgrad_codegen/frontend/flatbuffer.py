# SPDX-License-Identifier: Apache-2.0
"""A bounds-checked reader of FlatBuffers, for files that nobody has vouched for.

The generated Python accessors trust every offset: on a damaged file they raise whatever comes up,
loop over four billion elements, or return bytes from elsewhere. Here every read is checked against
the file, lengths are checked before anything is allocated, and the only error is a
`ModelFormatError`.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fleetgrad_codegen.errors import ModelFormatError

MAX_DEPTH = 64
"""Deepest nesting of tables; the TFLite schema needs fewer than ten."""

_I8 = struct.Struct("<b")
_U8 = struct.Struct("<B")
_U16 = struct.Struct("<H")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_F32 = struct.Struct("<f")


def _damaged(what: str, position: int) -> ModelFormatError:
    return ModelFormatError(
        f"the file is damaged: {what}",
        where=f"byte {position}",
        expected="a complete .tflite file",
        hint="copy or export the model again; a truncated download looks like this",
    )


@dataclass(frozen=True, slots=True)
class Vector:
    """Where a vector's elements lie in the file: ``count`` of them from byte ``start``."""

    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a FlatBuffer; fields are addressed by slot, their position in the schema.

    Attributes:
        buffer: The whole file.
        position: Byte offset of the table in the file.
        depth: How many tables lead to this one.
    """

    buffer: bytes
    position: int
    depth: int = 0

    @staticmethod
    def root(buffer: bytes) -> "Table":
        """The root table of a file.

        Raises:
            ModelFormatError: The file is too short or its root lies outside of it.
        """
        return Table(buffer, 0)._follow(0)

    def _read(self, layout: struct.Struct, position: int) -> Any:
        if position < 0 or position + layout.size > len(self.buffer):
            raise _damaged("a value lies beyond its end", position)
        return layout.unpack_from(self.buffer, position)[0]

    def _follow(self, position: int) -> "Table":
        if self.depth >= MAX_DEPTH:
            raise _damaged("its tables are nested without end", position)
        table = Table(self.buffer, position + self._read(_U32, position), self.depth + 1)
        table._vtable()
        return table

    def _vtable(self) -> tuple[int, int]:
        vtable = self.position - self._read(_I32, self.position)
        size = self._read(_U16, vtable)
        inline = self._read(_U16, vtable + 2)
        if size < 4 or size % 2 or vtable + size > len(self.buffer):
            raise _damaged("a table's layout is impossible", self.position)
        if inline < 4 or self.position + inline > len(self.buffer):
            raise _damaged("a table reaches beyond its end", self.position)
        return vtable, size

    def _field(self, slot: int) -> int:
        """Byte position of a field, or 0 where the field is absent."""
        vtable, size = self._vtable()
        entry = 4 + 2 * slot
        offset = self._read(_U16, vtable + entry) if entry < size else 0
        return self.position + offset if offset else 0

    def _scalar(self, layout: struct.Struct, slot: int, default: Any) -> Any:
        position = self._field(slot)
        return self._read(layout, position) if position else default

    def i8(self, slot: int, default: int = 0) -> int:
        """A signed byte, also the type of most of the schema's enumerations."""
        return int(self._scalar(_I8, slot, default))

    def u8(self, slot: int, default: int = 0) -> int:
        """An unsigned byte."""
        return int(self._scalar(_U8, slot, default))

    def boolean(self, slot: int, default: bool = False) -> bool:
        """A truth value."""
        return bool(self._scalar(_U8, slot, default))

    def i32(self, slot: int, default: int = 0) -> int:
        """A signed 32-bit integer."""
        return int(self._scalar(_I32, slot, default))

    def u32(self, slot: int, default: int = 0) -> int:
        """An unsigned 32-bit integer."""
        return int(self._scalar(_U32, slot, default))

    def u64(self, slot: int, default: int = 0) -> int:
        """An unsigned 64-bit integer."""
        return int(self._scalar(_U64, slot, default))

    def f32(self, slot: int, default: float = 0.0) -> float:
        """A float32, in a Python float."""
        return float(self._scalar(_F32, slot, default))

    def has(self, slot: int) -> bool:
        """Whether a field is written in the file at all."""
        return self._field(slot) != 0

    def table(self, slot: int) -> "Table | None":
        """A nested table, or None where the field is absent."""
        position = self._field(slot)
        return self._follow(position) if position else None

    def vector(self, slot: int, itemsize: int) -> Vector | None:
        """Where a vector of ``itemsize``-byte elements lies, or None where the field is absent.

        Raises:
            ModelFormatError: The elements do not lie inside the file.
        """
        position = self._field(slot)
        if not position:
            return None
        start = position + self._read(_U32, position)
        count = self._read(_U32, start)
        if start + 4 + count * itemsize > len(self.buffer):
            raise _damaged("a list reaches beyond its end", start)
        return Vector(start + 4, count)

    def array(self, slot: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A vector of numbers, a read-only view of the file; empty where the field is absent."""
        kind = np.dtype(dtype).newbyteorder("<")
        found = self.vector(slot, kind.itemsize)
        if found is None or not found.count:
            return np.empty(0, kind)
        return np.frombuffer(self.buffer, kind, found.count, found.start)

    def text(self, slot: int) -> str:
        """A string; what is not UTF-8 becomes escapes, since names are only labels."""
        found = self.vector(slot, 1)
        if found is None:
            return ""
        raw = self.buffer[found.start : found.start + found.count]
        return raw.decode("utf-8", "backslashreplace")

    def tables(self, slot: int) -> "list[Table]":
        """A vector of tables; empty where the field is absent."""
        found = self.vector(slot, 4)
        if found is None:
            return []
        return [self._follow(found.start + 4 * i) for i in range(found.count)]
