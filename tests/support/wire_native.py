# SPDX-License-Identifier: Apache-2.0
"""The C wire code as a shared library, with the interface of its Python twin."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetgrad.wire.framing import Frame
from fleetgrad.wire.messages import PAYLOAD_MAX, Ack, Chunk
from fleetgrad.wire.transfer import Received

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "firmware/src/wire").glob("*.c"))
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", f"-I{ROOT}/firmware/include"]

sys.path.insert(0, str(ROOT / "tools/schema"))

from schema import Record, Schema, load  # noqa: E402

FG_OK, FG_ERR_SIZE, FG_ERR_STATE = 0, -2, -6


def schema() -> Schema:
    return load(ROOT / "tools/schema/wire.toml")


class FrameStruct(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint8),
        ("incompat", ctypes.c_uint8),
        ("compat", ctypes.c_uint8),
        ("seq", ctypes.c_uint16),
        ("length", ctypes.c_uint16),
        ("session", ctypes.c_uint32),
        ("payload", ctypes.c_void_p),
    )


class DecoderStruct(ctypes.Structure):
    _fields_ = (
        ("buffer", ctypes.c_void_p),
        ("frames_bad", ctypes.c_uint32),
        ("capacity", ctypes.c_uint16),
        ("used", ctypes.c_uint16),
        ("code", ctypes.c_uint8),
        ("left", ctypes.c_uint8),
        ("discard", ctypes.c_bool),
    )


class AckStruct(ctypes.Structure):
    _fields_ = (("transfer", ctypes.c_uint16), ("next_offset", ctypes.c_uint32))


class ChunkStruct(ctypes.Structure):
    _fields_ = (
        ("transfer", ctypes.c_uint16),
        ("offset", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("data_bytes", ctypes.c_size_t),
    )


class ReceiverStruct(ctypes.Structure):
    _fields_ = (
        ("destination", ctypes.c_void_p),
        ("total", ctypes.c_uint32),
        ("next_offset", ctypes.c_uint32),
        ("stray", ctypes.c_uint32),
        ("ahead", ctypes.c_uint32),
        ("ahead_end", ctypes.c_uint32),
        ("seen", ctypes.c_uint32),
        ("transfer", ctypes.c_uint16),
        ("unacknowledged", ctypes.c_uint8),
        ("strayed", ctypes.c_bool),
    )


class SenderStruct(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_uint32),
        ("base", ctypes.c_uint32),
        ("next", ctypes.c_uint32),
        ("deadline_ms", ctypes.c_uint32),
        ("sent_ms", ctypes.c_uint32),
        ("transfer", ctypes.c_uint16),
        ("answer_ms", ctypes.c_uint16),
        ("payload_max", ctypes.c_uint16),
        ("payload", ctypes.c_uint16),
        ("timeouts", ctypes.c_uint8),
        ("clean", ctypes.c_uint8),
        ("rewound", ctypes.c_bool),
        ("behind", ctypes.c_bool),
        ("answered", ctypes.c_bool),
        ("again", ctypes.c_bool),
    )


class SliceStruct(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint32), ("count", ctypes.c_uint16))


STRUCTS = {
    "fg_frame": FrameStruct,
    "fg_frame_decoder": DecoderStruct,
    "fg_msg_ack": AckStruct,
    "fg_msg_chunk": ChunkStruct,
    "fg_receiver": ReceiverStruct,
    "fg_sender": SenderStruct,
    "fg_slice": SliceStruct,
}

SHIM_HEAD = r"""
#include "fleetgrad/fg_transfer.h"
#include "fleetgrad/fg_wire.h"

/* Feeds a whole stream; appends (u32 length, header, payload) of every intact frame to `out`. */
size_t shim_decode(const uint8_t *in, size_t count, uint8_t *work, uint16_t capacity, uint8_t *out,
                   uint32_t *frames_bad) {
    fg_frame_decoder decoder;
    fg_frame frame;
    size_t used = 0;
    fg_frame_decoder_init(&decoder, work, capacity);
    for (size_t i = 0; i < count; i++) {
        if (fg_frame_decoder_push(&decoder, in[i], &frame)) {
            const uint32_t size = FG_FRAME_HEADER_BYTES + (uint32_t)frame.length;
            fg_store_u32(out + used, size);
            memcpy(out + used + 4, frame.payload - FG_FRAME_HEADER_BYTES, size);
            used += 4 + size;
        }
    }
    *frames_bad = decoder.frames_bad;
    return used;
}

int shim_complete(const fg_receiver *receiver) {
    return fg_receiver_complete(receiver);
}

int shim_done(const fg_sender *sender) {
    return fg_sender_done(sender);
}
"""


def _shim(record: Record) -> str:
    """One function that unpacks and packs again, and one accessor per fixed field."""
    name = f"fg_msg_{record.snake}"
    text = f"""
int shim_{record.snake}(const uint8_t *in, size_t count, uint8_t *out, size_t *packed) {{
    {name} message;
    const fg_status status = {name}_unpack(&message, in, count);
    if (status == FG_OK) {{
        *packed = {name}_pack(out, &message);
    }}
    return status;
}}
"""
    for field in record.fields:
        if field.type == "bytes":
            continue
        value = f"message.{field.name}"
        if field.array_bytes == 8:
            value = f"fg_load_u64({value})"
        elif field.type.startswith("i"):
            value = f"(uint64_t)(int64_t){value}"
        text += f"""
uint64_t shim_{record.snake}_{field.name}(const uint8_t *in, size_t count) {{
    {name} message;
    if ({name}_unpack(&message, in, count) != FG_OK) {{
        return 0;
    }}
    return {value};
}}
"""
    return text


def shim_source() -> str:
    definition = schema()
    parts = [SHIM_HEAD]
    parts += [f"size_t shim_sizeof_{n}(void) {{ return sizeof({n}); }}\n" for n in STRUCTS]
    parts += [_shim(r) for r in definition.messages + definition.records if r.fields]
    return "".join(parts)


def build(folder: Path, compiler: str) -> NativeWire:
    shim = folder / "shim.c"
    shim.write_text(shim_source())
    library = folder / "libwire.so"
    command = [compiler, *FLAGS, "-Wno-missing-prototypes", "-O2", "-fPIC", "-shared"]
    subprocess.run([*command, *map(str, SOURCES), str(shim), "-o", str(library)], check=True)
    return NativeWire(ctypes.CDLL(str(library)))


@dataclass(frozen=True)
class Decoded:
    frames: list[Frame]
    frames_bad: int


class NativeWire:
    """The functions of the library with Python types."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library: Any = library
        for name, struct in STRUCTS.items():
            size = getattr(library, f"shim_sizeof_{name}")
            size.restype = ctypes.c_size_t
            assert size() == ctypes.sizeof(struct), f"{name}: the test's mirror is out of date"
        library.fg_crc32.restype = ctypes.c_uint32
        library.fg_cobs_encode.restype = ctypes.c_size_t
        library.fg_receiver_ack.restype = AckStruct
        library.fg_sender_poll.restype = ctypes.c_bool
        library.fg_sender_wait.restype = ctypes.c_uint32
        library.shim_decode.restype = ctypes.c_size_t

    def crc32(self, data: bytes, crc: int = 0) -> int:
        value: int = self.library.fg_crc32(ctypes.c_uint32(crc), data, ctypes.c_size_t(len(data)))
        return value

    def stuff(self, data: bytes) -> bytes:
        """Stuffs in place, as the frame encoder does: the data right behind the least headroom."""
        headroom = 1 + len(data) // 254
        buffer = ctypes.create_string_buffer(bytes(headroom) + data, headroom + len(data))
        source = ctypes.c_void_p(ctypes.addressof(buffer) + headroom)
        size = self.library.fg_cobs_encode(buffer, source, ctypes.c_size_t(len(data)))
        return buffer.raw[:size]

    def encode(self, frame: Frame, capacity: int | None = None, in_place: bool = False) -> bytes:
        """Returns the encoded frame; b"" where the encoder refuses."""
        room = 5 + 16 + len(frame.payload) + 1 if capacity is None else capacity
        buffer = ctypes.create_string_buffer(b"\xaa" * (room + 32), room + 32)
        address = ctypes.addressof(buffer)
        source = ctypes.create_string_buffer(frame.payload, max(1, len(frame.payload)))
        payload = ctypes.addressof(source)
        if in_place:
            payload = address + 5 + 12
            ctypes.memmove(payload, frame.payload, len(frame.payload))
        struct = FrameStruct(
            frame.type, 0, frame.compat, frame.seq, len(frame.payload), frame.session, payload
        )
        size = ctypes.c_size_t()
        status = self.library.fg_frame_encode(
            ctypes.byref(struct), buffer, ctypes.c_size_t(room), ctypes.byref(size)
        )
        assert buffer.raw[room:] == b"\xaa" * 32, "wrote beyond the buffer"
        if status != FG_OK:
            assert status == FG_ERR_SIZE
            return b""
        return buffer.raw[: size.value]

    def decode(self, stream: bytes, max_payload: int = PAYLOAD_MAX) -> Decoded:
        capacity = max_payload + 16
        work = ctypes.create_string_buffer(b"\xaa" * (capacity + 32), capacity + 32)
        out = ctypes.create_string_buffer(len(stream) * 2 + 64)
        bad = ctypes.c_uint32()
        used = self.library.shim_decode(
            stream,
            ctypes.c_size_t(len(stream)),
            work,
            ctypes.c_uint16(capacity),
            out,
            ctypes.byref(bad),
        )
        assert work.raw[capacity:] == b"\xaa" * 32, "wrote beyond the buffer"
        frames, at, raw = [], 0, out.raw[:used]
        while at < used:
            size = int.from_bytes(raw[at : at + 4], "little")
            body = raw[at + 4 : at + 4 + size]
            frames.append(
                Frame(
                    type=body[1],
                    session=int.from_bytes(body[4:8], "little"),
                    seq=int.from_bytes(body[8:10], "little"),
                    payload=body[12:],
                    compat=body[3],
                )
            )
            at += 4 + size
        return Decoded(frames, bad.value)

    def repack(self, record: Record, payload: bytes) -> bytes | None:
        """Payload to struct and back; None where unpack() refuses."""
        out = ctypes.create_string_buffer(len(payload) + 64)
        size = ctypes.c_size_t()
        function = getattr(self.library, f"shim_{record.snake}")
        status = function(payload, ctypes.c_size_t(len(payload)), out, ctypes.byref(size))
        if status != FG_OK:
            assert status == FG_ERR_SIZE
            return None
        return out.raw[: size.value]

    def field(self, record: Record, name: str, payload: bytes) -> int:
        function = getattr(self.library, f"shim_{record.snake}_{name}")
        function.restype = ctypes.c_uint64
        value: int = function(payload, ctypes.c_size_t(len(payload)))
        return value


class NativeReceiver:
    """`fg_receiver` with the interface of `fleetgrad.wire.transfer.Receiver`."""

    def __init__(self, native: NativeWire, transfer: int, total: int) -> None:
        self._library = native.library
        self._memory = ctypes.create_string_buffer(b"\xaa" * (total + 32), total + 32)
        self._total = total
        self.state = ReceiverStruct()
        self._library.fg_receiver_start(
            ctypes.byref(self.state),
            ctypes.c_uint16(transfer),
            self._memory,
            ctypes.c_uint32(total),
        )

    @property
    def next_offset(self) -> int:
        return int(self.state.next_offset)

    @property
    def complete(self) -> bool:
        return bool(self._library.shim_complete(ctypes.byref(self.state)))

    @property
    def data(self) -> bytes:
        assert self._memory.raw[self._total :] == b"\xaa" * 32, "wrote beyond the blob"
        return self._memory.raw[: self.next_offset]

    def ack(self) -> Ack:
        ack = self._library.fg_receiver_ack(ctypes.byref(self.state))
        return Ack(ack.transfer, ack.next_offset)

    def accept_status(self, chunk: Chunk) -> tuple[int, int]:
        source = ctypes.create_string_buffer(chunk.data, max(1, len(chunk.data)))
        struct = ChunkStruct(
            chunk.transfer, chunk.offset, ctypes.addressof(source), len(chunk.data)
        )
        todo = ctypes.c_uint32()
        status = self._library.fg_receiver_accept(
            ctypes.byref(self.state), ctypes.byref(struct), ctypes.byref(todo)
        )
        return status, todo.value

    def accept(self, chunk: Chunk) -> Received:
        status, todo = self.accept_status(chunk)
        assert status == FG_OK
        return Received(self.ack() if todo & 1 else None, bool(todo & 2))


class NativeSender:
    """`fg_sender` with the interface of `fleetgrad.wire.transfer.Sender`."""

    def __init__(self, native: NativeWire, data: bytes, transfer: int, max_payload: int) -> None:
        self._library = native.library
        self._data = data
        self.state = SenderStruct()
        self._library.fg_sender_start(
            ctypes.byref(self.state),
            ctypes.c_uint16(transfer),
            ctypes.c_uint32(len(data)),
            ctypes.c_uint16(max_payload),
        )

    @property
    def acknowledged(self) -> int:
        return int(self.state.base)

    @property
    def done(self) -> bool:
        return bool(self._library.shim_done(ctypes.byref(self.state)))

    @property
    def payload(self) -> int:
        return int(self.state.payload)

    @property
    def timeouts(self) -> int:
        return int(self.state.timeouts)

    def resume(self, next_offset: int) -> None:
        self._library.fg_sender_resume(ctypes.byref(self.state), ctypes.c_uint32(next_offset))

    def poll(self, now_ms: int) -> Chunk | None:
        piece = SliceStruct()
        now = ctypes.c_uint32(now_ms & 0xFFFFFFFF)
        if not self._library.fg_sender_poll(ctypes.byref(self.state), now, ctypes.byref(piece)):
            return None
        data = self._data[piece.offset : piece.offset + piece.count]
        return Chunk(self.state.transfer, piece.offset, data)

    def wait(self, now_ms: int) -> int | None:
        now = ctypes.c_uint32(now_ms & 0xFFFFFFFF)
        wait = self._library.fg_sender_wait(ctypes.byref(self.state), now)
        return None if wait == 0xFFFFFFFF else int(wait)

    def acknowledge_status(self, ack: Ack) -> int:
        struct = AckStruct(ack.transfer, ack.next_offset)
        status: int = self._library.fg_sender_acknowledge(
            ctypes.byref(self.state), ctypes.byref(struct)
        )
        return status

    def acknowledge(self, ack: Ack) -> None:
        assert self.acknowledge_status(ack) == FG_OK
