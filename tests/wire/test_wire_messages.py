# SPDX-License-Identifier: Apache-2.0
"""The generated messages: round trips, ranges, both languages field by field, and the schema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgrad.wire import messages
from fleetgrad.wire.errors import MessageError
from fleetgrad.wire.framing import Frame, FrameDecoder, encode_message
from schema import SCALAR_BYTES, Record, SchemaError, load
from support import wire_native
from support.wire_native import NativeWire

SCHEMA = wire_native.schema()
RECORDS = SCHEMA.messages + SCHEMA.records


def python_class(record: Record) -> Any:
    return getattr(messages, record.name)


@st.composite
def values_of(draw: st.DrawFn, record: Record) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in record.fields:
        if field.type == "bytes":
            values[field.name] = draw(st.binary(max_size=512))
        elif field.array_bytes:
            size = field.array_bytes
            values[field.name] = draw(st.binary(min_size=size, max_size=size))
        else:
            bits = 8 * SCALAR_BYTES[field.type]
            low = -(1 << (bits - 1)) if field.type.startswith("i") else 0
            values[field.name] = draw(st.integers(low, low + (1 << bits) - 1))
    return values


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
@given(data=st.data())
def test_a_message_survives_packing_in_both_languages(
    native: NativeWire, record: Record, data: st.DataObject
) -> None:
    values = data.draw(values_of(record))
    message = python_class(record)(**values)
    payload = message.pack()
    tail = values[record.tail.name] if record.tail else b""
    assert len(payload) == record.fixed_bytes + len(tail)
    assert python_class(record).unpack(payload) == message
    if not record.fields:
        return
    assert native.repack(record, payload) == payload
    for field in record.fields:
        if field.type == "bytes":
            continue
        expected = values[field.name]
        if isinstance(expected, bytes):
            expected = int.from_bytes(expected, "little")
        assert native.field(record, field.name, payload) == expected & (2**64 - 1)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
@given(payload=st.binary(max_size=100))
def test_a_payload_of_the_wrong_length_is_refused_in_both_languages(
    native: NativeWire, record: Record, payload: bytes
) -> None:
    fits = len(payload) == record.fixed_bytes
    if record.tail:
        fits = len(payload) >= record.fixed_bytes
    if fits:
        assert python_class(record).unpack(payload).pack() == payload
    else:
        with pytest.raises(MessageError, match=f"payload of {len(payload)} bytes"):
            python_class(record).unpack(payload)
    if record.fields:
        assert native.repack(record, payload) == (payload if fits else None)


def test_values_out_of_range_are_named() -> None:
    with pytest.raises(MessageError, match=r"message Ack(.|\n)*transfer=65536"):
        messages.Ack(65536, 0).pack()
    with pytest.raises(MessageError, match="field model_digest"):
        messages.RoundOpen(1, b"short", 0, 0, 0, 0, 1 << 14, 0, 1, 1, 0, 3).pack()


def test_messages_are_found_by_their_id() -> None:
    ack = messages.Ack(7, 4096)
    assert messages.unpack_message(messages.Ack.ID, ack.pack()) == ack
    with pytest.raises(MessageError, match="0xee"):
        messages.unpack_message(0xEE, b"")
    assert {record.id for record in SCHEMA.messages} == set(messages.MESSAGES)
    [frame] = FrameDecoder().feed(encode_message(ack, 5, 6))
    assert isinstance(frame, Frame)
    assert frame.message() == ack


def test_every_fixed_message_fits_the_smallest_payload() -> None:
    assert max(record.fixed_bytes for record in SCHEMA.messages) <= messages.PAYLOAD_MIN


def run_generator(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = wire_native.ROOT / "tools/schema/generate.py"
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )


def test_generated_files_and_the_tables_of_the_specification_are_up_to_date() -> None:
    done = run_generator("--check")
    assert (done.returncode, done.stderr) == (0, "")


def changed_schema(folder: Path, old: str, new: str) -> Path:
    text = (wire_native.ROOT / "tools/schema/wire.toml").read_text()
    assert old in text
    path = folder / "wire.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('doc = "Host to device: are you alive?"', 'doc = "Another text."', True),
        ("# no session", "# none", True),
        ('["steps", "u32"', '["steps", "u16"', False),
        ('["steps", "u32"', '["step_count", "u32"', False),
        ("id = 0x14", "id = 0x15", False),
        ("stale = 3", "stale = 5", False),
        ("payload_max = 1024", "payload_max = 512", False),
    ],
)
def test_the_schema_hash_follows_meaning_and_not_documentation(
    tmp_path: Path, old: str, new: str, same: bool
) -> None:
    if old == "# no session":
        old, new = "# a frame of a session", "# some frame of a session"
    assert (load(changed_schema(tmp_path, old, new)).hash == messages.SCHEMA_HASH) is same


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["steps", "u32"', '["steps", "u24"', "Status.steps: unknown type 'u24'"),
        ('["steps", "u32"', '["round", "u32"', "Status: two fields of one name"),
        ('["steps", "u32"', '["Steps", "u32"', "Status.Steps: not a lower-case name"),
        ('["offset", "u32"', '["offset", "bytes"', "Chunk.offset: bytes must come last"),
        ("id = 0x14", "id = 0x13", "Abort: id 0x13 is Receipt's"),
        ("id = 0x14", "id = 256", "Abort: a message needs an id in 1..255"),
        ("stale = 3", "stale = 1", "enum.verdict: two names for one value"),
        ('"u8[8]", "of the bundle', '"u8[64]", "of the bundle', "RoundOpen: 97 bytes"),
        (', "samples per step"', "", "RoundOpen.batch: says nowhere what it means"),
    ],
)
def test_a_broken_schema_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        load(changed_schema(tmp_path, old, new))
    assert message in str(caught.value)
