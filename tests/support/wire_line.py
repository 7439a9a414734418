# SPDX-License-Identifier: Apache-2.0
"""A bad line between a sender and a receiver, in virtual time, replayable from its seed."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Protocol

from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_message
from fleetgrad.wire.messages import Ack, Chunk, Message
from fleetgrad.wire.transfer import Received


class AnySender(Protocol):
    @property
    def done(self) -> bool: ...
    def poll(self, now_ms: int) -> Chunk | None: ...
    def wait(self, now_ms: int) -> int | None: ...
    def acknowledge(self, ack: Ack) -> None: ...
    def resume(self, next_offset: int) -> None: ...


class AnyReceiver(Protocol):
    @property
    def data(self) -> bytes: ...
    @property
    def complete(self) -> bool: ...
    def ack(self) -> Ack: ...
    def accept(self, chunk: Chunk) -> Received: ...


@dataclass(frozen=True)
class Faults:
    """Probabilities per frame, and a bit error rate."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    bit_errors: float = 0.0
    garbage: float = 0.0


@dataclass
class Line:
    """Both directions; `run` moves frames until the sender is done."""

    sender: AnySender
    receiver: AnyReceiver
    faults: Faults
    seed: int
    now_ms: int = 0
    chunks_sent: int = 0
    completions: int = 0
    _rng: random.Random = field(init=False)
    _queue: list[tuple[int, int, bool, bytes]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def run(self, until_ms: int) -> bool:
        """Returns whether the sender was done before the time was over."""
        while self.now_ms < until_ms:
            while (chunk := self.sender.poll(self.now_ms)) is not None:
                self.chunks_sent += 1
                self._send(chunk, down=True)
            if self.sender.done:
                return True
            wait = self.sender.wait(self.now_ms)
            assert wait is not None
            wake = self.now_ms + wait
            if self._queue and self._queue[0][0] <= wake:
                self.now_ms, _, down, data = heapq.heappop(self._queue)
                self._arrive(down, data)
            else:
                self.now_ms = wake
        return False

    def _send(self, message: Message, down: bool) -> None:
        rng, faults = self._rng, self.faults
        if rng.random() < faults.drop:
            return
        copies = 2 if rng.random() < faults.duplicate else 1
        for _ in range(copies):
            delay = 5 + (rng.randrange(200) if rng.random() < faults.reorder else 0)
            data = DELIMITER + encode_message(message, 1, self._count & 0xFFFF)
            data = self._damage(data)
            self._count += 1
            heapq.heappush(self._queue, (self.now_ms + delay, self._count, down, data))

    def _damage(self, data: bytes) -> bytes:
        rng, faults = self._rng, self.faults
        if faults.bit_errors:
            damaged, bit = bytearray(data), -1
            while (bit := bit + 1 + int(rng.expovariate(faults.bit_errors))) < len(data) * 8:
                damaged[bit // 8] ^= 1 << (bit % 8)
            data = bytes(damaged)
        if rng.random() < faults.garbage:
            at = rng.randrange(len(data) + 1)
            data = data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at:]
        return data

    def _arrive(self, down: bool, data: bytes) -> None:
        # A decoder per frame: frames are what is reordered here, not the bytes within them.
        for frame in FrameDecoder().feed(data):
            if not isinstance(frame, Frame):
                continue
            message = frame.message()
            if down:
                assert isinstance(message, Chunk)
                result = self.receiver.accept(message)
                self.completions += result.complete
                if result.ack is not None:
                    self._send(result.ack, down=False)
            else:
                assert isinstance(message, Ack)
                self.sender.acknowledge(message)
