# SPDX-License-Identifier: Apache-2.0
"""The host's end of the line in tests: sends messages, collects what comes, keeps the clock."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import (
    SCHEMA_HASH,
    WIRE_VERSION,
    Ack,
    Chunk,
    Error,
    Hello,
    HelloRequest,
    Message,
    RoundOpen,
    Status,
    StatusRequest,
    Work,
)
from support.fake_model import DIGEST, Terms
from support.native_node import NativeNode

SESSION = 0x1234ABCD


def round_open(terms: Terms, blob: bytes, digest: bytes = DIGEST) -> RoundOpen:
    work = (Work.EVALUATE if terms.evaluate else 0) | (Work.TRAIN if terms.train else 0)
    return RoundOpen(
        round=terms.number,
        model_digest=digest,
        version_tag=terms.version_tag,
        blob_bytes=len(blob),
        blob_crc=zlib.crc32(blob),
        seed=terms.seed,
        lr_mantissa=terms.mantissa,
        lr_exponent=terms.exponent,
        epochs=terms.epochs,
        batch=terms.batch,
        max_steps=terms.max_steps,
        work=work,
    )


@dataclass
class Host:
    """One host, one device, a clock in milliseconds."""

    node: NativeNode
    session: int = SESSION
    now_ms: int = 0
    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    seq: int = 0
    bytes_up: int = 0
    frames: list[Frame] = field(default_factory=list)

    def send(self, *messages: Message, session: int | None = None) -> list[Message]:
        """Sends messages and returns what the device answers without any time passing."""
        for message in messages:
            own = self.session if session is None else session
            self.node.receive(encode_message(message, own, self.seq))
            self.seq += 1
        return self.settle()

    def raw(self, data: bytes) -> list[Message]:
        self.node.receive(data)
        return self.settle()

    def settle(self) -> list[Message]:
        """Everything the device sends until it only waits."""
        messages: list[Message] = []
        more = True
        while more:
            data, more = self.node.run(self.now_ms)
            messages += self.take(data)
            more = more or bool(data)
        return messages

    def step(self) -> list[Message]:
        """One piece of the device's work."""
        self.node.poll(self.now_ms)
        return self.take(self.node.transmit())

    def take(self, data: bytes) -> list[Message]:
        self.bytes_up += len(data)
        found = [item for item in self.decoder.feed(data) if isinstance(item, Frame)]
        self.frames += found
        return [frame.message() for frame in found]

    def greet(self, max_payload: int = 1024) -> Hello:
        """Opens the session."""
        self.node.receive(DELIMITER)
        request = HelloRequest(WIRE_VERSION, WIRE_VERSION, max_payload, SCHEMA_HASH)
        hello = [m for m in self.send(request) if isinstance(m, Hello)]
        assert hello, "no answer to HELLO_REQUEST"
        return hello[-1]

    def chunks(self, blob: bytes, number: int = 1, size: int = 200) -> list[Chunk]:
        """The blob in pieces."""
        return [
            Chunk(number & 0xFFFF, at, blob[at : at + size]) for at in range(0, len(blob), size)
        ]

    def deliver(self, terms: Terms, blob: bytes, size: int = 200) -> list[Message]:
        """Opens a round and sends its parameters; returns everything that comes back."""
        return self.send(round_open(terms, blob), *self.chunks(blob, terms.number, size))

    def collect(self, messages: list[Message], number: int = 1) -> bytes:
        """Puts an update together from its chunks and acknowledges it."""
        blob = b""
        waiting = list(messages)
        for _ in range(1000):
            fresh = False
            for message in waiting:
                if isinstance(message, Chunk) and message.offset == len(blob):
                    blob += message.data
                    fresh = True
            if not fresh:
                return blob
            waiting = self.send(Ack(number & 0xFFFF, len(blob)))
        raise AssertionError("the update never ends")


def status_of(host: Host) -> Status:
    (answer,) = [m for m in host.send(StatusRequest()) if isinstance(m, Status)]
    return answer


def acks(messages: list[Message]) -> list[int]:
    return [m.next_offset for m in messages if isinstance(m, Ack)]


def errors(messages: list[Message]) -> list[int]:
    return [m.code for m in messages if isinstance(m, Error)]
