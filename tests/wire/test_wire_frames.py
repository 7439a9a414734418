# SPDX-License-Identifier: Apache-2.0
"""Frames against independent oracles, and the C code against the Python code."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from cobs import cobs
from hypothesis import example, given
from hypothesis import strategies as st

from fleetgrad.wire.errors import MessageError
from fleetgrad.wire.framing import (
    DELIMITER,
    Frame,
    FrameDecoder,
    Noise,
    Rejection,
    encode_frame,
    stuff,
    unstuff,
)
from fleetgrad.wire.messages import PAYLOAD_MAX
from support.wire_native import NativeWire

# Long runs without a zero, and zeros at every distance, are where byte stuffing goes wrong.
runs = st.lists(
    st.tuples(st.sampled_from([0, 1, 253, 254, 255, 508, 509]), st.booleans()), max_size=4
).map(lambda parts: b"".join(b"\x5a" * length + b"\0" * zero for length, zero in parts))
payloads = st.one_of(st.binary(max_size=PAYLOAD_MAX), runs.map(lambda data: data[:PAYLOAD_MAX]))
frames = st.builds(
    Frame,
    type=st.integers(0, 255),
    session=st.integers(0, 2**32 - 1),
    seq=st.integers(0, 2**16 - 1),
    payload=payloads,
    compat=st.integers(0, 255),
)
BOOT_LOG = b"ESP-ROM:esp32s3-20210327\r\nrst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"


def reference_frame(frame: Frame, version: int = 1, incompat: int = 0) -> bytes:
    """Written from SPEC.md with another COBS."""
    body = struct.pack(
        "<BBBBIHH",
        version,
        frame.type,
        incompat,
        frame.compat,
        frame.session,
        frame.seq,
        len(frame.payload),
    )
    body += frame.payload
    return bytes(cobs.encode(body + struct.pack("<I", zlib.crc32(body)))) + b"\0"


@given(data=st.one_of(st.binary(max_size=2000), runs))
@example(data=b"")
@example(data=b"\x01" * 254)
@example(data=b"\x01" * 254 + b"\0")
@example(data=b"\x01" * 255)
def test_stuffing_equals_an_independent_implementation(native: NativeWire, data: bytes) -> None:
    stuffed = stuff(data)
    assert stuffed == native.stuff(data) == cobs.encode(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + 1 + len(data) // 254
    assert unstuff(stuffed) == data


@given(st.binary(max_size=600).map(lambda data: data.replace(b"\0", b"\x01")))
def test_unstuffing_accepts_what_an_independent_implementation_accepts(data: bytes) -> None:
    try:
        expected: bytes | None = bytes(cobs.decode(data))
    except cobs.DecodeError:
        expected = None
    assert unstuff(data) == expected


@given(data=st.binary(max_size=600), split=st.integers(0, 600))
def test_c_checksum_equals_zlib_in_one_piece_and_in_two(
    native: NativeWire, data: bytes, split: int
) -> None:
    assert native.crc32(data) == zlib.crc32(data)
    assert native.crc32(data[split:], native.crc32(data[:split])) == zlib.crc32(data)


@given(frame=frames, in_place=st.booleans())
def test_both_encoders_write_what_the_specification_says(
    native: NativeWire, frame: Frame, in_place: bool
) -> None:
    expected = reference_frame(frame)
    assert encode_frame(frame) == expected
    assert native.encode(frame, in_place=in_place) == expected


@given(frame=frames)
def test_both_decoders_return_the_frame_that_was_sent(native: NativeWire, frame: Frame) -> None:
    wire = encode_frame(frame)
    assert FrameDecoder().feed(wire) == [frame]
    assert native.decode(wire).frames == [frame]


def test_the_encoder_refuses_a_buffer_that_is_one_byte_short(native: NativeWire) -> None:
    frame = Frame(1, 2, 3, bytes(range(1, 201)))
    room = 5 + 16 + 200 + 1
    assert native.encode(frame, capacity=room) == encode_frame(frame)
    assert native.encode(frame, capacity=room - 1) == b""


def test_a_payload_beyond_the_maximum_is_refused_on_both_sides(native: NativeWire) -> None:
    frame = Frame(1, 2, 3, bytes(PAYLOAD_MAX + 1))
    with pytest.raises(MessageError, match="1025 bytes"):
        encode_frame(frame)
    assert native.encode(frame) == b""


@pytest.mark.parametrize(
    "frame",
    [Frame(256, 0, 0, b""), Frame(1, -1, 0, b""), Frame(1, 2**32, 0, b""), Frame(1, 0, 65536, b"")],
)
def test_a_header_value_out_of_range_is_an_error_of_the_caller(frame: Frame) -> None:
    with pytest.raises(MessageError, match="out of range"):
        encode_frame(frame)


@given(sent=st.lists(frames, max_size=4), cuts=st.lists(st.integers(1, 300), max_size=20))
def test_frames_survive_any_fragmentation_of_the_stream(sent: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(map(encode_frame, sent))
    decoder, found = FrameDecoder(), []
    for cut in cuts:
        found += decoder.feed(stream[:cut])
        stream = stream[cut:]
    assert found + decoder.feed(stream) == sent


noise = st.one_of(
    st.binary(max_size=300),
    st.just(BOOT_LOG),
    st.just(BOOT_LOG * 40),
    st.text(max_size=50).map(str.encode),
)


@given(parts=st.lists(st.tuples(noise, frames), min_size=1, max_size=4), after=noise)
def test_every_frame_that_follows_a_delimiter_survives_garbage_and_boot_logs(
    native: NativeWire, parts: list[tuple[bytes, Frame]], after: bytes
) -> None:
    stream = b"".join(junk + DELIMITER + encode_frame(frame) for junk, frame in parts)
    stream += after + DELIMITER
    decoder = FrameDecoder()
    found = [item for item in decoder.feed(stream) if isinstance(item, Frame)]
    assert found == [frame for _, frame in parts]
    decoded = native.decode(stream)
    assert decoded.frames == found
    assert decoded.frames_bad == decoder.frames_bad


@given(frame=frames, junk=noise.filter(bool), data=st.data())
def test_garbage_inside_a_frame_costs_that_frame_only(
    native: NativeWire, frame: Frame, junk: bytes, data: st.DataObject
) -> None:
    wire = encode_frame(frame)
    at = data.draw(st.integers(0, len(wire) - 1))
    after = Frame(9, 9, 9, b"next")
    stream = wire[:at] + junk + wire[at:] + DELIMITER + encode_frame(after)
    found = [item for item in FrameDecoder().feed(stream) if isinstance(item, Frame)]
    assert found[-1] == after
    assert found[:-1] in ([], [frame])  # a zero right at the edge leaves the frame whole
    assert native.decode(stream).frames == found


@given(frame=frames, data=st.data())
def test_a_truncated_frame_is_dropped_and_the_next_one_survives(
    native: NativeWire, frame: Frame, data: st.DataObject
) -> None:
    wire = encode_frame(frame)
    cut = data.draw(st.integers(1, len(wire) - 2))
    after = Frame(9, 9, 9, b"next")
    stream = wire[:cut] + DELIMITER + encode_frame(after)
    decoder = FrameDecoder()
    noise_found, frame_found = decoder.feed(stream)
    assert isinstance(noise_found, Noise)
    assert noise_found.data == wire[:cut]
    assert frame_found == after
    decoded = native.decode(stream)
    assert decoded.frames == [after]
    assert decoded.frames_bad == decoder.frames_bad == 1


@given(stream=st.binary(max_size=3000), max_payload=st.sampled_from([64, 256, PAYLOAD_MAX]))
def test_both_decoders_agree_on_arbitrary_bytes(
    native: NativeWire, stream: bytes, max_payload: int
) -> None:
    decoder = FrameDecoder(max_payload)
    found = [item for item in decoder.feed(stream) if isinstance(item, Frame)]
    decoded = native.decode(stream, max_payload)
    assert decoded.frames == found
    assert decoded.frames_bad == decoder.frames_bad


def test_a_frame_for_a_larger_buffer_is_dropped_without_harm(native: NativeWire) -> None:
    large, small = Frame(1, 2, 3, b"\x07" * 65), Frame(1, 2, 4, b"\x07" * 64)
    stream = encode_frame(large) + encode_frame(small)
    decoded = native.decode(stream, 64)
    assert decoded.frames == [small]
    assert decoded.frames_bad == 1
    assert FrameDecoder(64).feed(stream) == [
        Noise(encode_frame(large)[:-1], Rejection.LENGTH),
        small,
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, Rejection.VERSION),
        ({"version": 0}, Rejection.VERSION),
        ({"incompat": 1}, Rejection.INCOMPATIBLE),
        ({"incompat": 128}, Rejection.INCOMPATIBLE),
    ],
)
def test_an_intact_frame_that_this_side_cannot_know_is_dropped_with_its_reason(
    native: NativeWire, change: dict[str, int], reason: Rejection
) -> None:
    wire = reference_frame(Frame(1, 2, 3, b"payload"), **change)
    assert FrameDecoder().feed(wire) == [Noise(wire[:-1], reason)]
    decoded = native.decode(wire)
    assert decoded.frames == []
    assert decoded.frames_bad == 1


@pytest.mark.parametrize("claimed", [0, 6, 8, 65535])
def test_a_length_field_that_lies_is_dropped(native: NativeWire, claimed: int) -> None:
    body = struct.pack("<BBBBIHH", 1, 1, 0, 0, 2, 3, claimed) + b"payload"
    wire = cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"
    assert FrameDecoder().feed(wire) == [Noise(wire[:-1], Rejection.LENGTH)]
    assert native.decode(wire).frames_bad == 1


def test_unknown_compatible_bits_change_nothing(native: NativeWire) -> None:
    frame = Frame(1, 2, 3, b"payload", compat=0xFF)
    assert FrameDecoder().feed(encode_frame(frame)) == [frame]
    assert native.decode(encode_frame(frame)).frames == [frame]


def test_empty_pieces_between_delimiters_are_nothing_at_all(native: NativeWire) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(b"\0\0\0") == []
    assert decoder.frames_bad == native.decode(b"\0\0\0").frames_bad == 0


def test_endless_log_text_is_handed_out_and_counted_once() -> None:
    decoder = FrameDecoder()
    found: list[Frame | Noise] = []
    for _ in range(500):
        found += decoder.feed(BOOT_LOG)
    found += decoder.feed(DELIMITER)
    assert decoder.frames_bad == 1
    assert all(isinstance(item, Noise) for item in found)
    assert b"".join(item.data for item in found if isinstance(item, Noise)) == BOOT_LOG * 500


@pytest.mark.parametrize("error_rate", [1e-6, 1e-5, 1e-4, 1e-3])
def test_no_corrupt_frame_is_ever_accepted(native: NativeWire, error_rate: float) -> None:
    """100,000 frames of 0 to 512 bytes at each bit error rate."""
    rng = random.Random(f"bit errors {error_rate}")
    accepted = damaged = 0
    for _ in range(1000):
        sent = [
            Frame(rng.randrange(1, 32), rng.getrandbits(32), seq, rng.randbytes(rng.randrange(513)))
            for seq in range(100)
        ]
        stream = bytearray(b"".join(map(encode_frame, sent)))
        bits = len(stream) * 8
        position = -1
        while (position := position + 1 + int(rng.expovariate(error_rate))) < bits:
            stream[position // 8] ^= 1 << (position % 8)
            damaged += 1
        decoder = FrameDecoder()
        found = [item for item in decoder.feed(bytes(stream)) if isinstance(item, Frame)]
        assert all(frame == sent[frame.seq] for frame in found)
        decoded = native.decode(bytes(stream))
        assert decoded.frames == found
        assert decoded.frames_bad == decoder.frames_bad
        accepted += len(found)
    assert damaged > 0
    assert 0 < accepted < 100_000
