# SPDX-License-Identifier: Apache-2.0
"""One blob over a bad line: what does it cost to get it there?"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from fleetgrad.simulator.faults import Faults
from fleetgrad.simulator.host import Violation
from fleetgrad.simulator.line import Line
from fleetgrad.simulator.world import World
from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import Ack, Chunk, Message
from fleetgrad.wire.transfer import Receiver, Sender

_TRANSFER = 7
_SESSION = 1
_MOST_MS = 24 * 3_600_000.0


@dataclass(frozen=True)
class Carried:
    """A blob that has arrived, bit for bit.

    Attributes:
        blob_bytes: Its length.
        down_bytes: Sent with it, frames and all.
        up_bytes: Of acknowledgements.
        seconds: Until the last acknowledgement arrived.
        payload: Of the chunks in the end.
    """

    blob_bytes: int
    down_bytes: int
    up_bytes: int
    seconds: float
    payload: int

    @property
    def ratio(self) -> float:
        """Bytes on the line, both ways, by bytes of the blob."""
        return (self.down_bytes + self.up_bytes) / self.blob_bytes


class _Way:
    """One direction: messages in, messages out."""

    def __init__(self, world: World, faults: Faults, name: str) -> None:
        self.arrived: list[Message] = []
        self.sent_bytes = 0
        self._decoder = FrameDecoder()
        self._line = Line(world, faults, name, self._deliver)
        self._seq = 0
        self._line.send(DELIMITER)

    @property
    def free_at(self) -> float:
        return self._line.drained_at(0)

    def send(self, message: Message) -> None:
        frame = encode_message(message, _SESSION, self._seq)
        self._seq = (self._seq + 1) & 0xFFFF
        self.sent_bytes += len(frame)
        self._line.send(frame)

    def _deliver(self, data: bytes) -> None:
        self.arrived += [
            item.message() for item in self._decoder.feed(data) if isinstance(item, Frame)
        ]


def carry(size: int, max_payload: int, faults: Faults, seed: int) -> Carried:
    """Sends a random blob.

    Args:
        size: Of the blob, in bytes.
        max_payload: Of the frames.
        faults: Of both directions.
        seed: Of blob and faults.

    Raises:
        Violation: It did not arrive, or another one did.
    """
    blob = random.Random(f"blob/{seed}").randbytes(size)
    world = World(seed)
    down, up = _Way(world, faults, "down"), _Way(world, faults, "up")
    sender, receiver = Sender(blob, _TRANSFER, max_payload), Receiver(_TRANSFER, size)
    while not sender.done:
        for message in up.arrived:
            assert isinstance(message, Ack)
            sender.acknowledge(message)
        up.arrived.clear()
        for message in down.arrived:
            assert isinstance(message, Chunk)
            received = receiver.accept(message)
            if received.ack is not None:
                up.send(received.ack)
        down.arrived.clear()
        now_ms = int(world.now)
        wake = world.now + 1.0
        if down.free_at <= world.now:  # as a UART's driver: the next frame when the last has left
            chunk = sender.poll(now_ms)
            if chunk is not None:
                down.send(chunk)
                continue
            wait = sender.wait(now_ms)
            wake = world.now + max(1, wait) if wait is not None else wake
        else:
            wake = down.free_at
        if sender.done:
            break
        world.advance(wake)
        if world.now > _MOST_MS:
            raise Violation("a blob does not arrive", where=f"seed {seed}, payload {max_payload}")
    if hashlib.sha256(receiver.data).digest() != hashlib.sha256(blob).digest():
        raise Violation("another blob arrived", where=f"seed {seed}, payload {max_payload}")
    return Carried(size, down.sent_bytes, up.sent_bytes, world.now / 1000, sender.payload)
