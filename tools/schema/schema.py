# SPDX-License-Identifier: Apache-2.0
"""wire.toml as checked, frozen values: what every emitter reads."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

SCALAR_BYTES = {
    "u8": 1,
    "u16": 2,
    "u32": 4,
    "u64": 8,
    "i8": 1,
    "i16": 2,
    "i32": 4,
    "i64": 8,
}
_ARRAY = re.compile(r"u8\[([1-9]\d*)\]")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CLASS = re.compile(r"([A-Z][a-z0-9]*)+")


class SchemaError(ValueError):
    """The schema file breaks a rule; the message names the entry."""


@dataclass(frozen=True)
class Field:
    """One field of a message: a scalar, `u8[n]`, or the `bytes` that end the payload."""

    name: str
    type: str
    doc: str

    @property
    def array_bytes(self) -> int | None:
        """Length of a `u8[n]` field, None for any other."""
        match = _ARRAY.fullmatch(self.type)
        return int(match.group(1)) if match else None

    @property
    def bytes(self) -> int:
        """Bytes on the wire; a `bytes` field counts as 0."""
        return self.array_bytes or SCALAR_BYTES.get(self.type, 0)


@dataclass(frozen=True)
class Record:
    """A message (it has an id) or a record inside a blob (it has none)."""

    name: str
    id: int | None
    doc: str
    fields: tuple[Field, ...]

    @property
    def snake(self) -> str:
        """The name in lower case with underscores."""
        return re.sub(r"(?<!^)([A-Z])", r"_\1", self.name).lower()

    @property
    def fixed_bytes(self) -> int:
        """Bytes before the open tail; all of them where there is no tail."""
        return sum(field.bytes for field in self.fields)

    @property
    def tail(self) -> Field | None:
        """The `bytes` field that takes the rest of the payload, if there is one."""
        return self.fields[-1] if self.fields and self.fields[-1].type == "bytes" else None


@dataclass(frozen=True)
class Enum:
    """Named numbers; `flags` marks bits that combine."""

    name: str
    doc: str
    flags: bool
    values: tuple[tuple[str, int], ...]

    @property
    def camel(self) -> str:
        """The name as a Python class."""
        return "".join(part.capitalize() for part in self.name.split("_"))


@dataclass(frozen=True)
class Schema:
    """The whole of wire.toml."""

    version: int
    payload_min: int
    payload_default: int
    payload_max: int
    enums: tuple[Enum, ...]
    messages: tuple[Record, ...]
    records: tuple[Record, ...]

    @property
    def hash(self) -> int:
        """First 32 bits, little-endian, of the SHA-256 of all that both sides must agree on.

        Names, ids, types and values count; documentation, comments and layout of the file do not.
        """
        canonical = {
            "version": self.version,
            "payload": [self.payload_min, self.payload_default, self.payload_max],
            "enums": {enum.name: dict(enum.values) for enum in self.enums},
            "messages": {
                record.name: [record.id, [[field.name, field.type] for field in record.fields]]
                for record in self.messages + self.records
            },
        }
        text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def load(path: Path) -> Schema:
    """Reads and checks a schema file.

    Raises:
        SchemaError: a name, type, id or size breaks a rule.
    """
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    wire = raw["wire"]
    schema = Schema(
        version=wire["version"],
        payload_min=wire["payload_min"],
        payload_default=wire["payload_default"],
        payload_max=wire["payload_max"],
        enums=tuple(_enum(name, entry) for name, entry in raw["enum"].items()),
        messages=tuple(_record(name, entry) for name, entry in raw["message"].items()),
        records=tuple(_record(name, entry) for name, entry in raw["record"].items()),
    )
    _check(schema)
    return schema


def _enum(name: str, entry: dict[str, object]) -> Enum:
    if not _NAME.fullmatch(name):
        raise SchemaError(f"enum.{name}: not a lower-case name")
    values = []
    for key, value in entry.items():
        if key in {"doc", "flags"}:
            continue
        if not isinstance(value, int):
            raise SchemaError(f"enum.{name}.{key}: not an integer")
        values.append((key, value))
    if len({value for _, value in values}) != len(values):
        raise SchemaError(f"enum.{name}: two names for one value")
    return Enum(name, str(entry["doc"]), bool(entry.get("flags", False)), tuple(values))


def _record(name: str, entry: dict[str, object]) -> Record:
    if not _CLASS.fullmatch(name):
        raise SchemaError(f"{name}: not a CamelCase name")
    raw_fields = entry.get("fields")
    if not isinstance(raw_fields, list):
        raise SchemaError(f"{name}: needs a list of fields")
    fields = []
    for index, raw in enumerate(raw_fields):
        field = Field(raw[0], raw[1], raw[2] if len(raw) > 2 else "")
        if not _NAME.fullmatch(field.name):
            raise SchemaError(f"{name}.{field.name}: not a lower-case name")
        if not field.doc:
            raise SchemaError(f"{name}.{field.name}: says nowhere what it means")
        if field.type == "bytes" and index != len(raw_fields) - 1:
            raise SchemaError(f"{name}.{field.name}: bytes must come last")
        if field.type != "bytes" and field.bytes == 0:
            raise SchemaError(f"{name}.{field.name}: unknown type {field.type!r}")
        fields.append(field)
    if len({field.name for field in fields}) != len(fields):
        raise SchemaError(f"{name}: two fields of one name")
    identifier = entry.get("id")
    if identifier is not None and not isinstance(identifier, int):
        raise SchemaError(f"{name}: id is not an integer")
    return Record(name, identifier, str(entry["doc"]), tuple(fields))


def _check(schema: Schema) -> None:
    seen: dict[int, str] = {}
    for record in schema.messages:
        if record.id is None or not 0 < record.id < 256:
            raise SchemaError(f"{record.name}: a message needs an id in 1..255")
        if record.id in seen:
            raise SchemaError(f"{record.name}: id {record.id:#04x} is {seen[record.id]}'s")
        seen[record.id] = record.name
        if record.fixed_bytes > schema.payload_min:
            raise SchemaError(
                f"{record.name}: {record.fixed_bytes} bytes, more than payload_min"
                f" ({schema.payload_min}), which is all that every device takes"
            )
    for record in schema.records:
        if record.id is not None:
            raise SchemaError(f"{record.name}: a record inside a blob has no id")
    if not schema.payload_min <= schema.payload_default <= schema.payload_max < 65536:
        raise SchemaError("wire: payload_min <= payload_default <= payload_max < 65536 is broken")
