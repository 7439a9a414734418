# SPDX-License-Identifier: Apache-2.0
"""The constant tables and structs of one C file, each stored once."""

from collections.abc import Mapping, Sequence

import numpy as np

from fleetgrad_codegen.emit.writer import Writer, literal
from fleetgrad_codegen.ir import Array

_CTYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
}


class Constants:
    """Collects definitions in the order they are asked for."""

    def __init__(self) -> None:
        self._headers: set[str] = set()
        self._tables: dict[tuple[str, bytes], str] = {}
        self._names: dict[str, object] = {}
        self._definitions = Writer()
        self._table_bytes = 0

    @property
    def headers(self) -> tuple[str, ...]:
        """Headers to include, sorted."""
        return tuple(sorted(self._headers))

    @property
    def text(self) -> str:
        """All definitions."""
        return self._definitions.text

    @property
    def table_bytes(self) -> int:
        """Bytes of all tables: what the model's constants take in flash."""
        return self._table_bytes

    def include(self, header: str) -> None:
        """Adds a header, once."""
        self._headers.add(header)

    def table(self, name: str, array: Array) -> str:
        """Defines an array unless an equal one exists; returns the name to use."""
        values = np.ascontiguousarray(array)
        ctype = _CTYPES[values.dtype.name]
        key = (ctype, values.tobytes())
        if key in self._tables:
            return self._tables[key]
        self._tables[key] = name
        self._claim(name, key)
        self._table_bytes += values.nbytes
        self._definitions.array(f"static const {ctype}", name, values.ravel().tolist())
        return name

    def struct(self, ctype: str, name: str, fields: Mapping[str, str | int]) -> str:
        """Defines a struct, once however often it is asked for; returns its address."""
        if not self._claim(name, (ctype, dict(fields))):
            return f"&{name}"
        with self._definitions.block(f"static const {ctype} {name} =", end="};"):
            for field, value in fields.items():
                self._definitions.line(f".{field} = {_expression(value)},")
        self._definitions.blank()
        return f"&{name}"

    def structs(self, ctype: str, name: str, rows: Sequence[Mapping[str, str | int]]) -> str:
        """Defines an array of structs, once however often it is asked for; returns its name."""
        if not self._claim(name, (ctype, [dict(row) for row in rows])):
            return name
        with self._definitions.block(f"static const {ctype} {name}[{len(rows)}] =", end="};"):
            for row in rows:
                fields = ", ".join(f".{field} = {_expression(v)}" for field, v in row.items())
                self._definitions.line(f"{{{fields}}},")
        self._definitions.blank()
        return name

    def _claim(self, name: str, content: object) -> bool:
        """Whether the name is new; False when it already stands for the same content."""
        if name not in self._names:
            self._names[name] = content
            return True
        if self._names[name] != content:
            raise ValueError(f"two constants are called {name}")
        return False


def _expression(value: str | int) -> str:
    return literal(value) if isinstance(value, int) else value
