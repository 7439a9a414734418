# SPDX-License-Identifier: Apache-2.0
"""Messages to and from a device at the other end of a socket."""

from __future__ import annotations

import socket

from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import SCHEMA_HASH, Ack, Chunk, Hello, HelloRequest, Message
from support.fake_model import DEVICE, HELD_OUT, TRAIN, Terms, expected_update
from support.node_host import SESSION, round_open


class Line:
    """Messages over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.decoder = FrameDecoder()
        self.waiting: list[Message] = []

    def send(self, *messages: Message) -> None:
        self.connection.sendall(b"".join(encode_message(m, SESSION, 0) for m in messages))

    def next(self) -> Message:
        while not self.waiting:
            data = self.connection.recv(65536)
            assert data, "the node closed the line"
            items = self.decoder.feed(data)
            self.waiting += [item.message() for item in items if isinstance(item, Frame)]
        return self.waiting.pop(0)


def run_round(line: Line, terms: Terms, base: bytes, size: int = 1000) -> bytes:
    """A whole round with the fake model and the usual samples; the update."""
    line.connection.sendall(DELIMITER)
    line.send(HelloRequest(1, 1, 1024, SCHEMA_HASH))
    while not isinstance(line.next(), Hello):
        pass
    number = terms.number & 0xFFFF
    chunks = [Chunk(number, at, base[at : at + size]) for at in range(0, len(base), size)]
    line.send(round_open(terms, base), *chunks)
    blob = b""
    expected = len(expected_update(terms, DEVICE, base, TRAIN, HELD_OUT))
    while len(blob) < expected:
        message = line.next()
        if isinstance(message, Chunk) and message.offset == len(blob):
            blob += message.data
            line.send(Ack(number, len(blob)))
    return blob
