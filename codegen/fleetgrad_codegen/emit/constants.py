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
        """Defines a struct; returns its address. The same definition may be asked for again."""
        lines = [f".{field} = {_expression(value)}," for field, value in fields.items()]
        self._define(f"static const {ctype} {name}", name, lines)
        return f"&{name}"

    def structs(self, ctype: str, name: str, rows: Sequence[Mapping[str, str | int]]) -> str:
        """Defines an array of structs; returns its name. It may be asked for again, likewise."""
        lines = []
        for row in rows:
            fields = ", ".join(f".{field} = {_expression(value)}" for field, value in row.items())
            lines.append(f"{{{fields}}},")
        self._define(f"static const {ctype} {name}[{len(rows)}]", name, lines)
        return name

    def _define(self, declaration: str, name: str, lines: Sequence[str]) -> None:
        definition = (declaration, *lines)
        if self._structs.get(name) == definition:
            return
        self._claim(name)
        self._structs[name] = definition
        with self._definitions.block(f"{declaration} =", end="};"):
            for line in lines:
                self._definitions.line(line)
        self._definitions.blank()

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
