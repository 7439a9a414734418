# SPDX-License-Identifier: Apache-2.0
"""The update blob: what a device learned in one round, and what it measured."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import WireError
from fleetgrad.wire.messages import UpdateHeader, Work

# Largest exponents the delta of a segment can need: |bias| < 2^31 gives a bit length of 32, masters
# lie within +-127 * 256 and so differ by less than 2^16; 7 bits of that stay in the int8.
MAX_EXPONENT = {"bias": 25, "weight": 9}


@dataclass(frozen=True, slots=True)
class Update:
    """A decoded update.

    Attributes:
        round: The round it was made in.
        version_tag: Of the version that was trained from.
        samples: Training samples seen at least once: the weight in the mean.
        eval_samples: Held-out samples evaluated with the parameters as received.
        eval_correct: How many of them were right.
        eval_loss: Mean loss on them, in 1/1024 bit or 1/4 squared step, saturating at 65535.
        train_loss: Mean loss over the round's steps, likewise.
        exponents: One for every segment.
        deltas: The segments' int8 deltas one after the other; empty where nothing was trained.
        blob: The bytes as they came.
        measured: Training samples whose outputs were looked at.
        clipped: For every range, the share of these outputs that it has cut off, in 1/65536.
        saturated: For every segment, parameters that have come to their limits; 255: or more.
    """

    round: int
    version_tag: int
    samples: int
    eval_samples: int
    eval_correct: int
    eval_loss: int
    train_loss: int
    exponents: tuple[int, ...]
    deltas: NDArray[np.int8]
    blob: bytes
    measured: int = 0
    clipped: tuple[int, ...] = ()
    saturated: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """What a bundle's updates consist of.

    Attributes:
        segments: Kind (``bias`` or ``weight``) and element count of every segment.
        ranges: Number of activation scales that may grow.
    """

    segments: tuple[tuple[str, int], ...]
    ranges: int = 0

    def update_bytes(self, work: int) -> int:
        """Length of the blob that a round with these bits of work gives."""
        total = UpdateHeader.BYTES
        if work & Work.TRAIN:
            total += 2 * len(self.segments) + sum(count for _, count in self.segments)
        if work & (Work.TRAIN | Work.MEASURE) and self.ranges:
            total += 2 + 2 * self.ranges
        return total

    def read(self, blob: bytes, work: int) -> Update:
        """`read_update` of this shape."""
        return read_update(blob, self, work)


def read_update(blob: bytes, shape: Shape, work: int) -> Update:
    """Decodes and checks a blob.

    Args:
        blob: The bytes that a device sent.
        shape: What it consists of.
        work: Bits of the round's work.

    Raises:
        WireError: When the blob is damaged, of the wrong length, or holds a value no device makes.
    """
    wanted, segments = shape.update_bytes(work), shape.segments
    trained = bool(work & Work.TRAIN)
    if len(blob) != wanted:
        raise WireError(f"an update of {len(blob)} bytes", expected=f"{wanted} bytes")
    header = UpdateHeader.unpack(blob[: UpdateHeader.BYTES])
    if header.crc != zlib.crc32(blob[4:]):
        raise WireError("the update's CRC does not match its bytes")
    if header.eval_correct > header.eval_samples:
        raise WireError(f"{header.eval_correct} of {header.eval_samples} held-out samples right")
    body = blob[UpdateHeader.BYTES :]
    exponents = tuple(body[: len(segments)]) if trained else ()
    end = len(exponents) + (sum(count for _, count in segments) if trained else 0)
    deltas = np.frombuffer(body[len(exponents) : end], np.int8)
    numbers = np.frombuffer(body[end : len(body) - len(exponents)], "<u2").tolist()
    saturated = tuple(body[len(body) - len(exponents) :])
    for (kind, _), exponent in zip(segments, exponents, strict=False):
        if exponent > MAX_EXPONENT[kind]:
            raise WireError(
                f"a {kind} delta with the exponent {exponent}",
                expected=f"at most {MAX_EXPONENT[kind]}",
            )
    if (deltas == -128).any():
        raise WireError("a delta of -128", expected="-127 to 127")
    if trained and header.samples == 0:
        raise WireError("an update trained on no samples", expected="at least one sample")
    return Update(
        round=header.round,
        version_tag=header.version_tag,
        samples=header.samples,
        eval_samples=header.eval_samples,
        eval_correct=header.eval_correct,
        eval_loss=header.eval_loss,
        train_loss=header.train_loss,
        exponents=exponents,
        deltas=deltas,
        blob=blob,
        measured=numbers[0] if numbers else 0,
        clipped=tuple(numbers[1:]),
        saturated=saturated,
    )
