# SPDX-License-Identifier: Apache-2.0
"""What the host remembers of an update that counts, besides the sums that it went into."""

from dataclasses import dataclass

from fleetgrad.device import Update


@dataclass(frozen=True, slots=True)
class Facts:
    """An accepted update without its deltas: a few dozen bytes for each device of a round.

    Attributes:
        samples: Training samples seen at least once.
        eval_samples: Held-out samples evaluated with the parameters as received.
        eval_correct: How many of them were right.
        eval_loss: Mean loss on them, in the units of `Update`.
        train_loss: Mean loss over the round's steps, likewise.
        exponents: One for every segment.
        staleness: How many versions came between the one it was made from and this round's.
    """

    samples: int
    eval_samples: int
    eval_correct: int
    eval_loss: int
    train_loss: int
    exponents: bytes
    staleness: int = 0

    @classmethod
    def of(cls, update: Update, staleness: int = 0) -> "Facts":
        """The facts of an update."""
        return cls(
            update.samples,
            update.eval_samples,
            update.eval_correct,
            update.eval_loss,
            update.train_loss,
            bytes(update.exponents),
            staleness,
        )
