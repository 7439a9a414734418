# SPDX-License-Identifier: Apache-2.0
"""What may go wrong, and how often."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """Chances of everything that may go wrong; the default is a world in which nothing does.

    Attributes:
        lose: A piece of bytes vanishes.
        duplicate: A piece arrives twice.
        reorder: A piece is overtaken by those behind it.
        bit_errors: Of every bit: it arrives inverted.
        garbage: Bytes that nobody sent, such as a boot log, arrive before a piece.
        stall: Before a piece the line stands still for up to ``stall_ms``.
        cut: At a piece, everything is lost for up to ``cut_ms`` on this line: a loose cable.
        outage: At a piece that arrives at the host, everything on all lines is lost, and all that
            is sent for up to ``cut_ms``: a broker or a hub that is restarted.
        hang_up: At a piece, the host's link is closed for as long as this host lives.
        reset: At a piece that a device receives, it starts again and has forgotten what is not in
            its store.
        jump: At a piece that a device receives, its clock leaps ahead.
        host_jump: At a commit, the host's clocks leap: the monotonic one ahead, the other anywhere.
        kill: At a commit, the host dies: before it, after it, or with the first bytes that leave
            after it; and sometimes while it waits.
        flash: Whether devices have some: what they keep there outlives a reset.
        piece_bytes: The longest piece.
        latency_ms: Time on the line.
        bytes_per_ms: Rate of the line.
        stall_ms: See ``stall``.
        cut_ms: See ``cut``.
    """

    lose: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    bit_errors: float = 0.0
    garbage: float = 0.0
    stall: float = 0.0
    cut: float = 0.0
    outage: float = 0.0
    hang_up: float = 0.0
    reset: float = 0.0
    jump: float = 0.0
    host_jump: float = 0.0
    kill: float = 0.0
    flash: bool = False
    piece_bytes: int = 256
    latency_ms: float = 2.0
    bytes_per_ms: float = 11.5
    stall_ms: float = 3_000.0
    cut_ms: float = 15_000.0

    @property
    def harmless(self) -> bool:
        """Whether nothing goes wrong."""
        return self == Faults(
            flash=self.flash,
            piece_bytes=self.piece_bytes,
            latency_ms=self.latency_ms,
            bytes_per_ms=self.bytes_per_ms,
            stall_ms=self.stall_ms,
            cut_ms=self.cut_ms,
        )


def draw(dice: random.Random) -> Faults:
    """Faults for one run: each kind in about half of all runs, from rare to frequent."""

    def chance(most: float) -> float:
        return most * 10.0 ** dice.uniform(-1.5, 0.0) if dice.random() < 0.5 else 0.0

    return Faults(
        lose=chance(0.08),
        duplicate=chance(0.1),
        reorder=chance(0.1),
        bit_errors=chance(1e-4),
        garbage=chance(0.1),
        stall=chance(0.02),
        cut=chance(0.004),
        outage=chance(0.002),
        hang_up=chance(0.001),
        reset=chance(0.02),
        jump=chance(0.01),
        host_jump=chance(0.02),
        kill=chance(0.15),
        flash=dice.random() < 0.5,
        piece_bytes=dice.choice((64, 256, 1100)),
        latency_ms=dice.choice((0.2, 2.0, 40.0)),
        bytes_per_ms=dice.choice((11.5, 92.0, 1000.0)),
    )
