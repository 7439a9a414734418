# SPDX-License-Identifier: Apache-2.0
"""Frames: byte stuffing, checksum and header around one message.

A line may drop, flip and invent bytes, and boards print boot logs on it. `FrameDecoder` gives back
whole frames, and what lay between them as `Noise`, so that logs can be shown instead of lost.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fleetgrad.wire.errors import MessageError
from fleetgrad.wire.messages import PAYLOAD_MAX, WIRE_VERSION, Message, unpack_message

DELIMITER: Final = b"\x00"
"""Ends every frame, and comes once before the first one after a (re)connect."""

_HEADER: Final = struct.Struct("<BBBBIHH")
_CRC: Final = struct.Struct("<I")
_OVERHEAD: Final = _HEADER.size + _CRC.size


class Rejection(StrEnum):
    """Why bytes between two delimiters were no frame."""

    STUFFING = "no valid byte stuffing"
    LENGTH = "a length that does not fit"
    CRC = "a wrong CRC"
    VERSION = "another wire version"
    INCOMPATIBLE = "unknown incompatibility bits"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        type: id of the message in the payload.
        session: the session the frame belongs to; 0 before there is one.
        seq: counts the sender's frames modulo 2^16; for logs, nothing depends on it.
        payload: the packed message.
        compat: bits that a receiver may ignore.
    """

    type: int
    session: int
    seq: int
    payload: bytes
    compat: int = 0

    def message(self) -> Message:
        """Unpacks the payload; raises `MessageError` where it is no message of this type."""
        return unpack_message(self.type, self.payload)


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that were no frame.

    Attributes:
        data: the bytes as they came, without the delimiter.
        reason: the first test they failed.
    """

    data: bytes
    reason: Rejection


def stuff(data: bytes) -> bytes:
    """Replaces every zero byte, COBS fashion; the result is at most 1 + len / 254 bytes longer."""
    out = bytearray()
    rest = b""
    for block in data.split(DELIMITER):
        rest = block
        while len(rest) >= 254:
            out += b"\xff"
            out += rest[:254]
            rest = rest[254:]
        out.append(len(rest) + 1)
        out += rest
    if not rest and not data.endswith(DELIMITER) and data:
        del out[-1]  # a full block ends the data: no zero follows that needs a block
    return bytes(out)


def unstuff(data: bytes) -> bytes | None:
    """Undoes `stuff`; None where the data cannot be its result."""
    out = bytearray()
    position, end, code = 0, len(data), 0xFF
    while position < end:
        if code != 0xFF:
            out.append(0)
        code = data[position]
        after = position + code
        if code == 0 or after > end:
            return None
        out += data[position + 1 : after]
        position = after
    return bytes(out)


def encode_frame(frame: Frame) -> bytes:
    """Returns the frame as it travels, delimiter included.

    Raises:
        MessageError: the payload is longer than any frame's, or a header value is out of range.
    """
    if len(frame.payload) > PAYLOAD_MAX:
        raise MessageError(
            f"a payload of {len(frame.payload)} bytes",
            where=f"frame of type {frame.type:#04x}",
            expected=f"at most {PAYLOAD_MAX} bytes",
        )
    try:
        header = _HEADER.pack(
            WIRE_VERSION,
            frame.type,
            0,
            frame.compat,
            frame.session,
            frame.seq,
            len(frame.payload),
        )
    except struct.error as error:
        raise MessageError(
            f"a frame header value is out of range: {error}",
            where=repr(frame),
            expected="type and compat 0..255, session 0..2^32-1, seq 0..2^16-1",
        ) from error
    body = header + frame.payload
    return stuff(body + _CRC.pack(zlib.crc32(body))) + DELIMITER


def encode_message(message: Message, session: int, seq: int) -> bytes:
    """Packs a message into a frame, as it travels.

    Raises:
        MessageError: a field, the session or the sequence number is out of range.
    """
    return encode_frame(Frame(message.ID, session, seq, message.pack()))


class FrameDecoder:
    """Finds the frames in a stream of bytes that comes in any pieces.

    Args:
        max_payload: the longest payload to accept, in bytes; a longer frame is noise.
    """

    def __init__(self, max_payload: int = PAYLOAD_MAX) -> None:
        raw = max_payload + _OVERHEAD
        self._max_payload = max_payload
        self._max_stuffed = raw + raw // 254 + 1
        self._pending = bytearray()
        self._noisy = False
        self._frames_bad = 0

    @property
    def frames_bad(self) -> int:
        """How often something between two delimiters was no frame."""
        return self._frames_bad

    def feed(self, data: bytes) -> list[Frame | Noise]:
        """Takes the next bytes of the stream; returns what they complete, in order.

        Noise without a delimiter is handed out in pieces once it is too long to become a frame:
        the decoder's memory is bounded.
        """
        found: list[Frame | Noise] = []
        *complete, rest = data.split(DELIMITER)
        for piece in complete:
            self._pending += piece
            if self._pending or self._noisy:
                found += self._finish()
        self._pending += rest
        if len(self._pending) > self._max_stuffed:
            found.append(Noise(bytes(self._pending), Rejection.LENGTH))
            self._pending.clear()
            self._noisy = True
        return found

    def _finish(self) -> list[Frame | Noise]:
        piece = bytes(self._pending)
        self._pending.clear()
        if self._noisy:
            self._noisy = False
            self._frames_bad += 1
            return [Noise(piece, Rejection.LENGTH)] if piece else []
        result = self._parse(piece)
        if isinstance(result, Frame):
            return [result]
        self._frames_bad += 1
        return [Noise(piece, result)]

    def _parse(self, piece: bytes) -> Frame | Rejection:
        if len(piece) > self._max_stuffed:
            return Rejection.LENGTH
        raw = unstuff(piece)
        if raw is None:
            return Rejection.STUFFING
        if not _OVERHEAD <= len(raw) <= self._max_payload + _OVERHEAD:
            return Rejection.LENGTH
        body = raw[: -_CRC.size]
        if _CRC.unpack_from(raw, len(body))[0] != zlib.crc32(body):
            return Rejection.CRC
        version, kind, incompat, compat, session, seq, length = _HEADER.unpack_from(body)
        if version != WIRE_VERSION:
            return Rejection.VERSION
        if incompat != 0:
            return Rejection.INCOMPATIBLE
        payload = body[_HEADER.size :]
        if length != len(payload):
            return Rejection.LENGTH
        return Frame(kind, session, seq, payload, compat)
