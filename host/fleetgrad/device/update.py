# SPDX-License-Identifier: Apache-2.0
"""The update blob: what a device learned in one round, and what it measured."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import WireError
from fleetgrad.wire.messages import UpdateHeader

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
        deltas: The segments' int8 deltas one after the other; empty after an evaluation.
        blob: The bytes as they came.
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


def read_update(blob: bytes, segments: Sequence[tuple[str, int]], *, trained: bool) -> Update:
    """Decodes and checks a blob.

    Args:
        blob: The bytes that a device sent.
        segments: Kind (``bias`` or ``weight``) and element count of every segment.
        trained: Whether deltas follow the header.

    Raises:
        WireError: When the blob is damaged, of the wrong length, or holds a value no device makes.
    """
    wanted = UpdateHeader.BYTES
    if trained:
        wanted += len(segments) + sum(count for _, count in segments)
    if len(blob) != wanted:
        raise WireError(f"an update of {len(blob)} bytes", expected=f"{wanted} bytes")
    header = UpdateHeader.unpack(blob[: UpdateHeader.BYTES])
    if header.crc != zlib.crc32(blob[4:]):
        raise WireError("the update's CRC does not match its bytes")
    if header.eval_correct > header.eval_samples:
        raise WireError(f"{header.eval_correct} of {header.eval_samples} held-out samples right")
    body = blob[UpdateHeader.BYTES :]
    exponents = tuple(body[: len(segments)]) if trained else ()
    deltas = np.frombuffer(body[len(exponents) :], np.int8)
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
    )
