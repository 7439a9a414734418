# SPDX-License-Identifier: Apache-2.0
"""What a gateway that sums is asked, and what it answers. SPEC.md, chapter "Gateways that sum"."""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from fleetgrad.device.update import Shape
from fleetgrad.errors import WireError
from fleetgrad.wire.messages import Work

_ORDER_MAGIC = b"FGGO"
_ORDER_FORMAT = 1
_ORDER = struct.Struct("<4sHHII")
_HEAD = struct.Struct("<IIIII")
_ENTRY = struct.Struct("<QBHHHHH32s")
_PART_HEAD_BYTES = 64


class Fate(IntEnum):
    """What became of a board's work."""

    COUNTED = 0
    SILENT = 1
    LOST = 2
    UNABLE = 3
    UNFIT = 4
    SPOILED = 5


REASONS = {
    Fate.SILENT: "no update before its gateway's deadline",
    Fate.LOST: "its gateway has lost it",
    Fate.UNABLE: "it could not do the round's work",
    Fate.UNFIT: "the strategy refuses its update",
    Fate.SPOILED: "its update was damaged",
}
"""Why a board's update is in no sum."""


@dataclass(frozen=True, slots=True)
class Board:
    """A board behind a gateway, as the gateway told of it.

    Attributes:
        device: Its id.
        train_samples: Samples it trains on.
        eval_samples: Samples it holds out.
    """

    device: int
    train_samples: int
    eval_samples: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One board's line in the answer.

    Attributes:
        device: Its id.
        fate: Whether its update is in the sum. If not, the rest is 0.
        samples: As in the update; so are the other numbers.
        eval_samples: See there.
        eval_correct: See there.
        eval_loss: See there.
        train_loss: See there.
        digest: SHA-256 of the update blob.
        exponents: One for every segment; empty where nothing was trained.
    """

    device: int
    fate: Fate
    samples: int = 0
    eval_samples: int = 0
    eval_correct: int = 0
    eval_loss: int = 0
    train_loss: int = 0
    digest: bytes = bytes(32)
    exponents: bytes = b""


@dataclass(frozen=True, slots=True)
class SumBlob:
    """A gateway's answer, whole and undamaged.

    Attributes:
        round: The round it was made in.
        version_tag: Of the version that was trained from.
        entries: All boards that were asked, by ascending id.
        part: The partial sum; see `fleetgrad.federation.partial`.
        blob: The bytes as they came.
    """

    round: int
    version_tag: int
    entries: tuple[Entry, ...]
    part: bytes
    blob: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, hex."""
        return hashlib.sha256(self.blob).hexdigest()


@dataclass(frozen=True, slots=True)
class SumShape:
    """What the answer for so many boards consists of.

    Attributes:
        shape: Of a single update.
        boards: How many were asked.
        numbers: How many weights the strategy sums.
    """

    shape: Shape
    boards: int
    numbers: int

    def update_bytes(self, work: int) -> int:
        """Length of the answer to a round with these bits of work."""
        trains = bool(work & Work.TRAIN)
        segments, entry = self.shape.segments, _ENTRY.size
        if trains:
            entry += len(segments)
        numbers = self.numbers + 2 + self.shape.ranges + 3 * len(segments)
        if trains:
            numbers += sum(count for _, count in segments)
        return _HEAD.size + self.boards * entry + _PART_HEAD_BYTES + 8 * numbers

    def read(self, blob: bytes, work: int) -> SumBlob:
        """Decodes and checks an answer, except for the partial sum in it.

        Raises:
            WireError: It is damaged or of the wrong length.
        """
        wanted = self.update_bytes(work)
        if len(blob) != wanted:
            raise WireError(f"a gateway's sum of {len(blob)} bytes", expected=f"{wanted} bytes")
        return read_sum(blob, len(self.shape.segments) if work & Work.TRAIN else 0)


def write_sum(number: int, version_tag: int, entries: Sequence[Entry], part: bytes) -> bytes:
    """A gateway's answer.

    Args:
        number: Of the round.
        version_tag: Of its version.
        entries: One for each board that was asked, in any order.
        part: The partial sum.
    """
    body = struct.pack("<IIII", number, version_tag, len(entries), len(part))
    for entry in sorted(entries, key=lambda entry: entry.device):
        body += _ENTRY.pack(
            entry.device,
            entry.fate,
            entry.samples,
            entry.eval_samples,
            entry.eval_correct,
            entry.eval_loss,
            entry.train_loss,
            entry.digest,
        )
        body += entry.exponents
    body += part
    return zlib.crc32(body).to_bytes(4, "little") + body


def read_sum(blob: bytes, segments: int) -> SumBlob:
    """What `write_sum` gave.

    Args:
        blob: The bytes.
        segments: Exponents of each entry.

    Raises:
        WireError: It is damaged.
    """
    if len(blob) < _HEAD.size or int.from_bytes(blob[:4], "little") != zlib.crc32(blob[4:]):
        raise WireError("the CRC of a gateway's sum does not match its bytes")
    _, number, tag, count, part = _HEAD.unpack_from(blob)
    step = _ENTRY.size + segments
    if len(blob) != _HEAD.size + count * step + part:
        raise WireError(f"a gateway's sum of {len(blob)} bytes for {count} boards")
    entries = []
    for start in range(_HEAD.size, _HEAD.size + count * step, step):
        fields: tuple[int, int, int, int, int, int, int, bytes] = _ENTRY.unpack_from(blob, start)
        device, fate, samples, held, correct, held_loss, loss, digest = fields
        if fate not in list(Fate):
            raise WireError(f"a board with the fate {fate}")
        exponents = blob[start + _ENTRY.size : start + step]
        made = Entry(device, Fate(fate), samples, held, correct, held_loss, loss, digest, exponents)
        entries.append(made)
    ids = [entry.device for entry in entries]
    if any(a >= b for a, b in pairwise(ids)):
        raise WireError("a gateway's sum with boards twice, or out of order")
    return SumBlob(number, tag, tuple(entries), blob[len(blob) - part :], blob)


@dataclass(frozen=True, slots=True)
class Order:
    """What a gateway is to do in a round.

    Attributes:
        boards: Ids of those to ask, ascending.
        wait_ms: How long to wait for them; then it answers with what it has.
        vector: The parameter vector for each.
    """

    boards: tuple[int, ...]
    wait_ms: int
    vector: bytes

    def pack(self) -> bytes:
        """The bytes that go to the gateway in place of a parameter vector."""
        head = _ORDER.pack(_ORDER_MAGIC, _ORDER_FORMAT, 0, self.wait_ms, len(self.boards))
        return head + struct.pack(f"<{len(self.boards)}Q", *self.boards) + self.vector

    @classmethod
    def unpack(cls, data: bytes) -> "Order":
        """What `pack` gave.

        Raises:
            WireError: It is no order.
        """
        if len(data) < _ORDER.size or data[:4] != _ORDER_MAGIC:
            raise WireError(
                "these bytes are no order for a gateway that sums",
                hint="the host must know it as one: fleetgrad gateway --aggregate",
            )
        _, form, _, wait_ms, count = _ORDER.unpack_from(data)
        end = _ORDER.size + 8 * count
        if form != _ORDER_FORMAT or len(data) < end:
            raise WireError(f"an order of format {form} for {count} boards")
        boards = struct.unpack_from(f"<{count}Q", data, _ORDER.size)
        return cls(boards, wait_ms, data[end:])
