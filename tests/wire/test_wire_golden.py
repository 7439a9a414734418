# SPDX-License-Identifier: Apache-2.0
"""The golden vectors of SPEC.md, read from its text: Python and C must write and read them."""

from __future__ import annotations

import struct
import tomllib
import zlib
from typing import Any

import pytest

from fleetgrad.wire import messages
from fleetgrad.wire.framing import Frame, FrameDecoder, encode_frame
from fleetgrad.wire.messages import UpdateHeader
from support import wire_native
from support.wire_native import NativeWire

SPEC = (wire_native.ROOT / "SPEC.md").read_text(encoding="utf-8")
BLOCKS = [tomllib.loads(part.split("```", 1)[0]) for part in SPEC.split("```toml\n")[1:]]
FRAMES: list[dict[str, Any]] = next(block["frame"] for block in BLOCKS if "frame" in block)
UPDATE: dict[str, Any] = next(block["update"] for block in BLOCKS if "update" in block)
RECORDS = {record.name: record for record in wire_native.schema().messages}


def message_of(vector: dict[str, Any]) -> Any:
    record = RECORDS[vector["message"]]
    fields = dict(vector.get("fields", {}))
    for field in record.fields:
        if field.type == "bytes" or field.array_bytes:
            fields[field.name] = bytes.fromhex(fields[field.name])
    return getattr(messages, record.name)(**fields)


@pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector["message"])
def test_a_frame_of_the_specification(native: NativeWire, vector: dict[str, Any]) -> None:
    message, wire = message_of(vector), bytes.fromhex(vector["wire"])
    frame = Frame(message.ID, vector["session"], vector["seq"], message.pack())
    assert encode_frame(frame) == wire
    assert native.encode(frame) == wire
    [found] = FrameDecoder().feed(wire)
    assert isinstance(found, Frame)
    assert found == frame
    assert found.message() == message
    assert native.decode(wire).frames == [frame]
    if frame.payload:
        assert native.repack(RECORDS[vector["message"]], frame.payload) == frame.payload


def test_the_check_value_of_the_checksum(native: NativeWire) -> None:
    assert 'the CRC of `"123456789"` is `0xCBF43926`' in SPEC
    assert native.crc32(b"123456789") == zlib.crc32(b"123456789") == 0xCBF43926


def test_the_update_blob_of_the_specification() -> None:
    exponents, deltas = [], []
    for differences in UPDATE["differences"]:
        exponent = max(0, max(map(abs, differences)).bit_length() - 7)
        half = (1 << exponent) >> 1
        rounded = [min(127, (abs(d) + half) >> exponent) for d in differences]
        exponents.append(exponent)
        deltas.append([-q if d < 0 else q for q, d in zip(rounded, differences, strict=True)])
    assert exponents == UPDATE["exponents"]
    assert deltas == UPDATE["deltas"]
    flat = [q for segment in deltas for q in segment]
    body = bytes(exponents) + struct.pack(f"{len(flat)}b", *flat)
    ranges = [UPDATE["measured"], *UPDATE["clipped"]]
    body += struct.pack(f"<{len(ranges)}H", *ranges) + bytes(UPDATE["saturated"])
    names = ["round", "version_tag", "samples", "eval_samples", "eval_correct"]
    fields = {name: UPDATE[name] for name in [*names, "eval_loss", "train_loss"]}
    unsigned = UpdateHeader(crc=0, **fields).pack()[4:] + body
    crc = zlib.crc32(unsigned)
    assert UpdateHeader(crc=crc, **fields).pack() + body == bytes.fromhex(UPDATE["blob"])


@pytest.mark.parametrize(("payload", "least", "most"), [(1024, 700, 702), (512, 724, 726)])
def test_an_update_of_650_weights_costs_what_the_specification_says(
    payload: int, least: int, most: int
) -> None:
    assert f"{least} to {most}" in SPEC
    for filling in (b"\0", b"\x01"):
        blob = filling * (UpdateHeader.BYTES + 2 + 650 + 2)
        size = payload - messages.Chunk.BYTES
        wire = b"".join(
            encode_frame(
                Frame(
                    messages.Chunk.ID,
                    0x01010101,
                    0x0101,
                    messages.Chunk(7, offset, blob[offset : offset + size]).pack(),
                )
            )
            for offset in range(0, len(blob), size)
        )
        assert least <= len(wire) <= most
