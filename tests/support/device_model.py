# SPDX-License-Identifier: Apache-2.0
"""A device in Python: the oracle for what a node answers to what, without a compiler.

`DeviceModel` is sans-I/O, as the firmware's node is: bytes and milliseconds in, bytes out. What it
learns is a made-up but deterministic function of seed, round, device and parameters, so that every
fleet of such devices must end with the same numbers.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import (
    PAYLOAD_DEFAULT,
    PAYLOAD_MAX,
    SCHEMA_HASH,
    WIRE_VERSION,
    Abort,
    Ack,
    Chunk,
    Error,
    ErrorCode,
    Hello,
    HelloRequest,
    Message,
    Phase,
    Receipt,
    RoundOpen,
    Status,
    StatusRequest,
    UpdateHeader,
    Work,
)
from fleetgrad.wire.transfer import Receiver, Sender, transfer_id


@dataclass(frozen=True)
class Traits:
    """What a device is; tests bend it."""

    device: int
    model_digest: bytes
    segments: tuple[tuple[str, int], ...]
    train_samples: int = 20
    eval_samples: int = 10
    boot_base: int = 0
    version: int = WIRE_VERSION
    schema_hash: int = SCHEMA_HASH
    problem: int = 0
    work_ms: int = 5  # how long a round's computing takes
    refuses: ErrorCode | None = None  # answers every RoundOpen with this
    spoil: Callable[[bytes], bytes] = field(default=lambda blob: blob)  # damages the update


def learn(
    traits: Traits, terms: RoundOpen, base: NDArray[np.int64]
) -> tuple[tuple[int, ...], NDArray[np.int8]]:
    """Exponents and deltas of an update: any deterministic function of its arguments will do."""
    exponents, deltas, start = [], [], 0
    for index, (_, count) in enumerate(traits.segments):
        key = f"{terms.seed}/{terms.round}/{traits.device}/{index}".encode()
        key += base[start : start + count].tobytes()
        stream = hashlib.shake_256(key).digest(count + 1)
        start += count
        exponents.append(stream[0] % 4)
        deltas.append(np.maximum(np.frombuffer(stream[1:], np.int8), -127))
    return tuple(exponents), np.concatenate(deltas)


def update_blob(traits: Traits, terms: RoundOpen, params: bytes) -> bytes:
    """The update that a device of these traits must send for these terms and parameters."""
    biases = sum(count for kind, count in traits.segments if kind == "bias")
    base = np.concatenate(
        [np.frombuffer(params[: 4 * biases], "<i4"), np.frombuffer(params[4 * biases :], "<i2")]
    ).astype(np.int64)
    body = b""
    trains = bool(terms.work & Work.TRAIN)
    if trains:
        exponents, deltas = learn(traits, terms, base)
        body = bytes(exponents) + deltas.tobytes() + bytes(len(exponents))
    correct = int(hashlib.sha256(params).digest()[0]) % (traits.eval_samples + 1)
    header = UpdateHeader(
        crc=0,
        round=terms.round,
        version_tag=terms.version_tag,
        samples=traits.train_samples if trains else 0,
        eval_samples=traits.eval_samples,
        eval_correct=correct,
        eval_loss=1024 + traits.device,
        train_loss=512 if trains else 0,
    )
    rest = header.pack()[4:] + body
    return zlib.crc32(rest).to_bytes(4, "little") + rest


class DeviceModel:
    """One device, just powered up.

    Args:
        traits: What it is.
        boots: How often it has started before.
    """

    def __init__(self, traits: Traits, boots: int = 0) -> None:
        self.traits = traits
        self.boots = traits.boot_base + boots + 1
        self.session = 0
        self.round_session = 0
        self.payload = PAYLOAD_DEFAULT
        self.phase = Phase.IDLE
        self.terms: RoundOpen | None = None
        self.receiver: Receiver | None = None
        self.sender: Sender | None = None
        self.blob = b""
        self.ready_ms = 0
        self.frames_bad = 0
        self._decoder = FrameDecoder()
        self._seq = 0
        self._out = bytearray(DELIMITER)
        self._send(self._hello())

    def receive(self, data: bytes, now_ms: int) -> None:
        """Takes bytes from the line."""
        for item in self._decoder.feed(data):
            if isinstance(item, Frame):
                self._handle(item, now_ms)
        self.frames_bad = self._decoder.frames_bad

    def take(self, now_ms: int) -> bytes:
        """Computes what is due; returns the bytes to send."""
        if self.phase is Phase.TRAINING and now_ms >= self.ready_ms:
            assert self.terms
            assert self.receiver
            self.blob = self.traits.spoil(update_blob(self.traits, self.terms, self.receiver.data))
            self.sender = Sender(self.blob, transfer_id(self.terms.round), self.payload)
            self.phase = Phase.SENDING
        if self._may_send():
            assert self.sender
            while (chunk := self.sender.poll(now_ms)) is not None:
                self._send(chunk)
        data = bytes(self._out)
        self._out.clear()
        return data

    def wait(self, now_ms: int) -> int | None:
        """Milliseconds until `take` has something without new bytes; None: never."""
        if self._out:
            return 0
        if self.phase is Phase.TRAINING:
            return max(0, self.ready_ms - now_ms)
        if self._may_send():
            assert self.sender
            return self.sender.wait(now_ms)
        return None

    def _may_send(self) -> bool:
        return self.phase is Phase.SENDING and self.round_session == self.session != 0

    def _send(self, message: Message, session: int | None = None) -> None:
        self._out += encode_message(
            message, self.session if session is None else session, self._seq
        )
        self._seq = (self._seq + 1) & 0xFFFF

    def _hello(self) -> Hello:
        holds = self.phase in (Phase.SENDING, Phase.DONE) and self.terms is not None
        return Hello(
            version_min=self.traits.version,
            version_max=self.traits.version,
            max_payload=PAYLOAD_MAX,
            schema_hash=self.traits.schema_hash,
            device_id=self.traits.device,
            model_digest=self.traits.model_digest,
            firmware_hash=0,
            boot_count=self.boots,
            train_samples=self.traits.train_samples,
            eval_samples=self.traits.eval_samples,
            round=self.terms.round if holds and self.terms else 0,
            problem=self.traits.problem,
            version_tag=self.terms.version_tag if holds and self.terms else 0,
            update_crc=int.from_bytes(self.blob[:4], "little") if holds else 0,
            store_bytes=0,
            store_erases=0,
        )

    def _refuse(self, code: ErrorCode, frame: Frame, detail: int = 0) -> None:
        self._send(Error(code, frame.type, detail), frame.session)

    def _handle(self, frame: Frame, now_ms: int) -> None:
        message = frame.message()
        if isinstance(message, HelloRequest):
            self.session = frame.session
            self.payload = min(message.max_payload, PAYLOAD_MAX)
            self._send(self._hello())
            return
        if frame.session == 0 or frame.session != self.session:
            self._refuse(ErrorCode.NO_SESSION, frame, self.session)
            return
        match message:
            case StatusRequest():
                self._status()
            case RoundOpen():
                self._round_open(message, frame)
            case Chunk():
                self._chunk(message, frame, now_ms)
            case Ack():
                if self.phase is Phase.SENDING and self.sender:
                    self.sender.acknowledge(message)
                    if self.sender.done:
                        self.phase = Phase.DONE
            case Receipt() | Abort():
                if self.terms and message.round == self.terms.round:
                    self.phase = Phase.IDLE

    def _status(self) -> None:
        offset = self.receiver.next_offset if self.receiver else 0
        number = self.terms.round if self.terms else 0
        self._send(Status(self.phase, number, offset, 0, self.frames_bad))

    def _round_open(self, terms: RoundOpen, frame: Frame) -> None:
        if self.traits.refuses is not None:
            self._refuse(self.traits.refuses, frame)
            return
        if self.phase is not Phase.IDLE and terms == self.terms:
            anew = self.round_session != self.session
            self.round_session = self.session
            assert self.receiver
            self._send(self.receiver.ack())
            if self.sender and self.phase in (Phase.SENDING, Phase.DONE):
                self.sender.resume(0 if anew or self.sender.done else self.sender.acknowledged)
                self.phase = Phase.SENDING
            return
        self.terms = terms
        self.round_session = self.session
        self.sender = None
        self.receiver = Receiver(transfer_id(terms.round), terms.blob_bytes)
        self.phase = Phase.RECEIVING

    def _chunk(self, chunk: Chunk, frame: Frame, now_ms: int) -> None:
        if self.phase is Phase.IDLE or not self.receiver or not self.terms:
            self._refuse(ErrorCode.WRONG_ROUND, frame)
            return
        if chunk.transfer != transfer_id(self.terms.round):
            self._refuse(ErrorCode.WRONG_ROUND, frame, self.terms.round)
            return
        received = self.receiver.accept(chunk)
        if received.complete and zlib.crc32(self.receiver.data) != self.terms.blob_crc:
            self._refuse(ErrorCode.BAD_DIGEST, frame)
            self.receiver = Receiver(transfer_id(self.terms.round), self.terms.blob_bytes)
            return
        if received.ack:
            self._send(received.ack)
        if received.complete:
            self.phase = Phase.TRAINING
            self.ready_ms = now_ms + self.traits.work_ms
