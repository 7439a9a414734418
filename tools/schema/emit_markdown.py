# SPDX-License-Identifier: Apache-2.0
"""The tables of SPEC.md, chapter "Messages": every byte of every message."""

from __future__ import annotations

from schema import Record, Schema

BEGIN = "<!-- generated from tools/schema/wire.toml: {name} -->"
END = "<!-- end of generated text -->"


def sections(schema: Schema) -> dict[str, str]:
    """Returns the text that belongs between each pair of markers, by name."""
    return {
        "constants": _constants(schema),
        "messages": "\n".join(_record(record) for record in schema.messages),
        "records": "\n".join(_record(record) for record in schema.records),
        "enums": _enums(schema),
    }


def insert(text: str, schema: Schema) -> str:
    """Returns SPEC.md with every generated section replaced by its current text.

    Raises:
        ValueError: a section's markers are missing or appear twice.
    """
    for name, body in sections(schema).items():
        begin = BEGIN.format(name=name)
        if text.count(begin) != 1:
            raise ValueError(f"SPEC.md: expected {begin!r} exactly once")
        head, rest = text.split(begin)
        _, end, tail = rest.partition(END)
        if not end:
            raise ValueError(f"SPEC.md: {begin!r} has no {END!r} after it")
        text = f"{head}{begin}\n{body}{END}{tail}"
    return text


def _constants(schema: Schema) -> str:
    return (
        "| constant | value |\n|---|---|\n"
        f"| wire version | {schema.version} |\n"
        f"| schema hash | `0x{schema.hash:08X}` |\n"
        f"| smallest, default and largest payload |"
        f" {schema.payload_min}, {schema.payload_default}, {schema.payload_max} bytes |\n"
    )


def _record(record: Record) -> str:
    title = record.name if record.id is None else f"{record.name} (`0x{record.id:02X}`)"
    size = f"{record.fixed_bytes} bytes" + (" and the tail" if record.tail else "")
    text = f"**{title}**, {size}. {record.doc}\n"
    if not record.fields:
        return text
    text += "\n| offset | bytes | field | type | meaning |\n|---|---|---|---|---|\n"
    offset = 0
    for field in record.fields:
        size = "the rest" if field.type == "bytes" else str(field.bytes)
        text += f"| {offset} | {size} | `{field.name}` | {field.type} | {field.doc} |\n"
        offset += field.bytes
    return text


def _enums(schema: Schema) -> str:
    text = ""
    for enum in schema.enums:
        values = ", ".join(f"`{name}` {value}" for name, value in enum.values)
        text += f"- **{enum.name}**: {enum.doc} {values}.\n"
    return text
