# SPDX-License-Identifier: Apache-2.0
"""Finds out who is at the other end of a line. Bytes and time in, bytes and a HELLO out."""

from __future__ import annotations

from dataclasses import dataclass

from fleetgrad.wire.errors import MessageError
from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, Noise, encode_message
from fleetgrad.wire.messages import PAYLOAD_MAX, SCHEMA_HASH, WIRE_VERSION, Hello, HelloRequest

_REPEAT_S = 1.0

# So many bytes with so few of a text's among them are no boot log.
_GARBAGE_BYTES = 32
_GARBAGE_SHARE = 0.25
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r\x1b\0")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device says of itself.

    Attributes:
        device: Its id.
        model_digest: First 8 bytes of the digest of the bundle in its firmware.
        train_samples: Samples it trains on.
        eval_samples: Samples it holds out.
        holds_round: The round whose update it keeps, 0 for none.
        boots: How often it has started.
        store_bytes: Room in its store, 0 where nothing outlives a reset.
        store_erases: Erasures of the two slots there, counted together.
    """

    device: int
    model_digest: bytes
    train_samples: int
    eval_samples: int
    holds_round: int
    boots: int
    store_bytes: int = 0
    store_erases: int = 0


def identify(data: bytes) -> Identity | None:
    """Who says HELLO in these bytes; None where nobody does."""
    found = identify_all(data)
    return found[0] if found else None


def hello_of(identity: Identity) -> Hello:
    """What a device would say to be known as this one, with no word of what it holds."""
    return Hello(
        version_min=WIRE_VERSION,
        version_max=WIRE_VERSION,
        max_payload=PAYLOAD_MAX,
        schema_hash=SCHEMA_HASH,
        device_id=identity.device,
        model_digest=identity.model_digest,
        firmware_hash=0,
        boot_count=identity.boots,
        train_samples=identity.train_samples,
        eval_samples=identity.eval_samples,
        round=0,
        problem=0,
        version_tag=0,
        update_crc=0,
        store_bytes=identity.store_bytes,
        store_erases=identity.store_erases,
    )


def identify_all(data: bytes) -> list[Identity]:
    """Everybody who says HELLO in these bytes, in order."""
    found: list[Identity] = []
    for item in FrameDecoder().feed(data):
        try:
            message = item.message() if isinstance(item, Frame) else None
        except MessageError:
            continue
        if isinstance(message, Hello):
            found.append(_identity(message))
    return found


def _identity(hello: Hello) -> Identity:
    return Identity(
        device=hello.device_id,
        model_digest=hello.model_digest,
        train_samples=hello.train_samples,
        eval_samples=hello.eval_samples,
        holds_round=hello.round if hello.update_crc else 0,
        boots=hello.boot_count,
        store_bytes=hello.store_bytes,
        store_erases=hello.store_erases,
    )


class Greeting:
    """Asks who is there, again and again, until a HELLO comes.

    Args:
        session: Session id, 1 .. 2^32-1, never used with this device before.
        now: Seconds, of any clock that only goes forward.
    """

    def __init__(self, session: int, now: float) -> None:
        self._session = session
        self._ask_at = now
        self._asked = 0
        self._decoder = FrameDecoder()
        self._heard = 0
        self._odd = 0
        self._frames = 0

    def receive(self, data: bytes) -> Identity | None:
        """Takes bytes from the line; gives back who is there once HELLO says it."""
        self._heard += len(data)
        self._odd += sum(byte not in _TEXT for byte in data)
        for item in self._decoder.feed(data):
            if isinstance(item, Noise):
                continue
            self._frames += 1
            try:
                message = item.message()
            except MessageError:
                continue
            if isinstance(message, Hello):
                return _identity(message)
        return None

    def take(self, now: float) -> bytes:
        """Bytes to send now."""
        if now < self._ask_at:
            return b""
        self._ask_at = now + _REPEAT_S
        self._asked += 1
        ask = HelloRequest(WIRE_VERSION, WIRE_VERSION, PAYLOAD_MAX, SCHEMA_HASH)
        return DELIMITER + encode_message(ask, session=self._session, seq=self._asked & 0xFFFF)

    def verdict(self) -> str:
        """What it means that no HELLO has come so far, in words."""
        if self._frames:
            return "frames come, but no HELLO: a device that is busy"
        if not self._heard:
            return "nothing answers: no fleetgrad firmware, or a board that is stuck"
        if self._heard >= _GARBAGE_BYTES and self._odd > _GARBAGE_SHARE * self._heard:
            return "what comes is neither frames nor text: the baud rate is probably wrong"
        return "text comes, but no frame: another firmware, or one that is still booting"
