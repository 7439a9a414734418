# SPDX-License-Identifier: Apache-2.0
"""Blobs in chunks: cumulative acknowledgements, one gap filled at a time, resumable, idempotent.

`Sender` and `Receiver` do no I/O and own no clock: messages and milliseconds come in, messages come
out. They make the same decisions as `fg_transfer.h` on the board, and a test holds them to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fleetgrad.wire.errors import TransferError
from fleetgrad.wire.messages import PAYLOAD_MIN, Ack, Chunk

WINDOW: Final = 8
"""Chunks in flight, and chunks per acknowledgement."""

TIMEOUT_MS: Final = 1000
"""Silence after the last chunk until the first one in flight is sent again; doubles each time."""

TIMEOUT_MIN_MS: Final = 100
"""The same where answers have come quickly."""

TIMEOUT_MAX_MS: Final = 8000

# Two losses within so many chunks mean that shorter frames will do better; so many chunks without
# any mean that longer ones will. A line that drops 1 % of all frames stays at full length.
_LOSS_DISTANCE: Final = 4
_CLEAN_RUN: Final = 16
_PATIENCE: Final = 4  # times what answers have taken
_COUNTER_MAX: Final = 255  # the board counts in bytes; both sides saturate alike


def transfer_id(round_number: int) -> int:
    """The transfer that carries the blobs of a round: its low 16 bits."""
    return round_number & 0xFFFF


@dataclass(frozen=True, slots=True)
class Received:
    """What a chunk asks of the receiver's owner.

    Attributes:
        ack: the acknowledgement to send now, if one is due.
        complete: this chunk was the last one missing; true once per transfer.
    """

    ack: Ack | None
    complete: bool


class Receiver:
    """Collects the chunks of one blob.

    Args:
        transfer: id of the transfer, as in its chunks.
        total: length of the blob in bytes.
        received: what has arrived already, when an earlier receiver was interrupted.
    """

    def __init__(self, transfer: int, total: int, received: bytes = b"") -> None:
        if len(received) > total:
            raise TransferError(
                f"{len(received)} bytes received of a blob of {total}",
                where=f"transfer {transfer}",
                expected="at most the whole blob",
            )
        self._transfer = transfer
        self._total = total
        self._data = bytearray(received)
        self._unacknowledged = 0
        self._stray: int | None = None  # offset of the last chunk, if that was out of place
        self._ahead = b""  # what came behind a gap, as far as it is in one piece
        self._ahead_at = 0
        self._seen = len(received)  # end of the furthest chunk so far

    @property
    def next_offset(self) -> int:
        """Everything below has arrived."""
        return len(self._data)

    @property
    def total(self) -> int:
        """Length of the blob in bytes."""
        return self._total

    @property
    def complete(self) -> bool:
        """Whether the whole blob has arrived."""
        return len(self._data) == self._total

    @property
    def data(self) -> bytes:
        """The bytes received so far, from offset 0."""
        return bytes(self._data)

    def ack(self) -> Ack:
        """The acknowledgement of everything received so far."""
        return Ack(self._transfer, len(self._data))

    def accept(self, chunk: Chunk) -> Received:
        """Stores what is new in a chunk; duplicates, overlaps and gaps are normal.

        Raises:
            TransferError: the chunk is of another transfer or reaches beyond the blob's end.
                Nothing has changed then.
        """
        end = chunk.offset + len(chunk.data)
        if chunk.transfer != self._transfer:
            raise TransferError(
                f"a chunk of transfer {chunk.transfer}",
                where=f"transfer {self._transfer}",
                expected="chunks of this transfer only",
            )
        if end > self._total:
            raise TransferError(
                f"a chunk that ends at byte {end} of a blob of {self._total}",
                where=f"transfer {self._transfer}, offset {chunk.offset}",
                expected=f"at most {self._total} bytes",
            )
        known = len(self._data)
        if chunk.offset <= known < end:
            # The sender may cut the blob differently after a loss: the head may be known already.
            self._data += chunk.data[known - chunk.offset :]
            self._join()
            self._stray = None
            self._unacknowledged += 1
            # Behind what it has sent already the sender waits for word on every chunk.
            behind = known < self._seen
            due = self.complete or behind or self._unacknowledged == WINDOW
        else:
            # A duplicate, or bytes before it are missing: tell where we are, but only once while
            # the sender goes through its window, and again when it has gone back.
            if chunk.offset > known:
                self._keep(chunk)
            due = self._stray is None or chunk.offset <= self._stray
            self._stray = chunk.offset
        self._seen = max(self._seen, end)
        if due:
            self._unacknowledged = 0
        return Received(self.ack() if due else None, self.complete and self._stray is None)

    def _keep(self, chunk: Chunk) -> None:
        """Keeps what is behind a gap, where it is the first there or goes on with what is kept."""
        at, end = self._ahead_at, self._ahead_at + len(self._ahead)
        if not self._ahead:
            self._ahead_at, self._ahead = chunk.offset, chunk.data
        elif at <= chunk.offset <= end < chunk.offset + len(chunk.data):
            self._ahead += chunk.data[end - chunk.offset :]

    def _join(self) -> None:
        """Takes what is kept once the gap before it is filled."""
        known = len(self._data)
        if self._ahead and self._ahead_at <= known:
            self._data += self._ahead[known - self._ahead_at :]
            self._ahead = b""


class Sender:
    """Sends one blob.

    Args:
        data: the blob.
        transfer: id of the transfer.
        max_payload: largest payload both sides take, in bytes; less than the wire's minimum
            counts as that.
    """

    def __init__(self, data: bytes, transfer: int, max_payload: int) -> None:
        self._data = data
        self._transfer = transfer
        self._payload_max = max(max_payload, PAYLOAD_MIN)
        self._payload = self._payload_max
        self._clean = _LOSS_DISTANCE  # chunks acknowledged since the last loss
        self._deadline_ms = 0
        self._sent_ms = 0  # when the last chunk was sent
        self._answer_ms = TIMEOUT_MS // _PATIENCE  # how long answers take
        self._answered = False  # and one has come to it
        self._base = 0
        self._next = 0
        self._timeouts = 0
        self._rewound = False  # base was sent again already on its acknowledgement
        self._behind = False  # something in flight is lost: nothing new until all of it is there
        self._again = False  # the chunk at base is to be sent again

    @property
    def acknowledged(self) -> int:
        """Everything below has arrived at the receiver."""
        return self._base

    @property
    def done(self) -> bool:
        """Whether the whole blob is acknowledged."""
        return self._base == len(self._data)

    @property
    def payload(self) -> int:
        """Payload bytes of the chunks sent now: fewer after losses."""
        return self._payload

    @property
    def timeouts(self) -> int:
        """Timeouts in a row without any progress: the caller decides when to give up."""
        return self._timeouts

    def resume(self, next_offset: int) -> None:
        """Starts again at an offset, in either direction.

        For a new session, and for a receiver that told that it has lost everything. Offsets beyond
        the end count as the end.
        """
        self._base = self._next = min(next_offset, len(self._data))
        self._timeouts = 0
        self._rewound = self._behind = self._again = False

    def poll(self, now_ms: int) -> Chunk | None:
        """Returns the chunk to send now, or None; a returned chunk counts as sent.

        Ask again until None. Call it only while the line takes another frame, so that silence means
        silence.
        """
        if self._answered:
            self._answered = False
            self._measure(min(now_ms - self._sent_ms, TIMEOUT_MS))
        if self._next > self._base and now_ms >= self._deadline_ms:
            self._timeouts = min(self._timeouts + 1, _COUNTER_MAX)
            self._rewound = False
            self._lose()
        if not self._again and not self._window_open():
            return None
        start = self._base if self._again else self._next
        self._again = False
        chunk = Chunk(self._transfer, start, self._data[start : start + self._chunk_bytes()])
        self._next = max(self._next, start + len(chunk.data))
        patience = min(max(_PATIENCE * self._answer_ms, TIMEOUT_MIN_MS), TIMEOUT_MS)
        self._sent_ms = now_ms
        self._deadline_ms = now_ms + min(patience << min(self._timeouts, 7), TIMEOUT_MAX_MS)
        return chunk

    def wait(self, now_ms: int) -> int | None:
        """Milliseconds until `poll` has something to do; None when it never will."""
        if self.done:
            return None
        due = self._again or self._window_open()
        return 0 if due else max(0, self._deadline_ms - now_ms)

    def acknowledge(self, ack: Ack) -> None:
        """Takes an acknowledgement; stale and repeated ones are normal.

        Raises:
            TransferError: it is of another transfer or beyond the blob's end. Nothing has changed
                then.
        """
        offset = ack.next_offset
        if ack.transfer != self._transfer or offset > len(self._data):
            raise TransferError(
                f"an acknowledgement of byte {offset} of transfer {ack.transfer}",
                where=f"transfer {self._transfer}",
                expected=f"this transfer, at most byte {len(self._data)}",
            )
        # After a timeout nobody knows which of two chunks is answered.
        self._answered = self._next > self._base and self._timeouts == 0
        if offset < self._base:
            # Old news, unless nothing else has come for a whole timeout: then the receiver has
            # started again and really holds no more than this.
            if self._timeouts > 0:
                self.resume(offset)
            return
        if offset > self._base:
            chunks = -(-(offset - self._base) // self._chunk_bytes())
            self._clean = min(self._clean + chunks, _COUNTER_MAX)
            self._base = offset
            self._timeouts = 0
            self._rewound = False
        if self._next <= self._base:
            self._next = self._base
            self._behind = self._again = False
            if self._clean >= _CLEAN_RUN:
                self._payload = min(2 * self._payload, self._payload_max)
                self._clean = _LOSS_DISTANCE
        elif not self._rewound:
            # The receiver acknowledges a window when it is full, so one that acknowledges less than
            # what is in flight has seen a gap. Repetitions of the same news do not count again.
            self._rewound = True
            self._lose()

    def _chunk_bytes(self) -> int:
        return self._payload - Chunk.BYTES

    def _window_open(self) -> bool:
        in_flight = self._next - self._base
        if self._behind or self._next == len(self._data):
            return False
        return in_flight < WINDOW * self._chunk_bytes()

    def _measure(self, took_ms: int) -> None:
        # A longer answer counts at once, a shorter one little by little.
        if took_ms >= self._answer_ms:
            self._answer_ms = took_ms
        else:
            self._answer_ms -= (self._answer_ms - took_ms + 7) // 8

    def _lose(self) -> None:
        # Something in flight was lost, first of all what comes next; shorten the chunks if that
        # happens often.
        self._behind = self._again = True
        if self._clean < _LOSS_DISTANCE:
            self._payload = max(self._payload // 2, PAYLOAD_MIN)
        self._clean = 0
