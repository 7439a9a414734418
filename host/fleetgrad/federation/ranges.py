# SPDX-License-Identifier: Apache-2.0
"""When activation scales grow: from what devices report of outputs that a range has cut off.

Scales only ever grow, by a factor of two at a time, and only while the share of clipped outputs,
pooled over the devices, exceeds what is tolerated. Integers throughout, so that a replay decides
likewise.
"""

from dataclasses import astuple, dataclass

from fleetgrad.device import Shape, Update
from fleetgrad.federation.model import GROWTH_LIMIT, GlobalModel

MEASUREMENT = 1 << 31
"""Numbers of measuring passes, counted from this, are none of rounds."""

MOST_PASSES = 3
"""What an early layer cuts off, later ones do not see: each pass shows more."""

MEASURED_SAMPLES = 64
"""Of each device, in a measuring pass."""

UNIT = 1 << 16
"""Shares are reported in this part of one."""


@dataclass(frozen=True)
class RangePolicy:
    """What the host does about clipped activations.

    Attributes:
        before: Measure, and grow, before the first round.
        drift: Grow by what the updates of a round report.
        tolerance: Share of clipped outputs that is no reason to grow, in 1/65536.
        names: Of the ranges.
        segments: Names of the trained tensors.
    """

    before: bool = False
    drift: bool = False
    tolerance: int = 66
    names: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RangeReport:
    """What the devices of a round have reported of limits, summed: the order cannot matter.

    Attributes:
        updates: How many devices.
        measured: Training samples whose outputs were looked at.
        clipped: For every range, the sum of measured samples times the share that was cut off, in
            1/65536.
        saturated: For every segment, parameters that have come to their limits.
        saturating: For every segment, devices on which any has.
    """

    updates: int
    measured: int
    clipped: tuple[int, ...]
    saturated: tuple[int, ...]
    saturating: tuple[int, ...]

    @classmethod
    def empty(cls, shape: Shape) -> "RangeReport":
        """Of no device."""
        nothing = (0,) * len(shape.segments)
        return cls(0, 0, (0,) * shape.ranges, nothing, nothing)

    def add(self, update: Update) -> "RangeReport":
        """With one device more."""
        clipped, saturated, saturating = self.clipped, self.saturated, self.saturating
        if update.measured:
            clipped = tuple(
                a + update.measured * b for a, b in zip(clipped, update.clipped, strict=True)
            )
        if any(update.saturated):
            saturated = _sum(saturated, update.saturated)
            saturating = _sum(saturating, tuple(int(n > 0) for n in update.saturated))
        return RangeReport(
            self.updates + 1, self.measured + update.measured, clipped, saturated, saturating
        )

    def merge(self, other: "RangeReport") -> "RangeReport":
        """With the devices of another report."""
        return RangeReport(
            self.updates + other.updates,
            self.measured + other.measured,
            _sum(self.clipped, other.clipped),
            _sum(self.saturated, other.saturated),
            _sum(self.saturating, other.saturating),
        )

    def is_clipped(self, place: int, tolerance: int) -> bool:
        """Whether more of a range's outputs were clipped than is tolerated, over all devices."""
        return self.clipped[place] > tolerance * self.measured

    def share(self, place: int) -> float:
        """The share of a range's outputs that were clipped; 0 where nothing was measured."""
        return self.clipped[place] / self.measured / UNIT if self.measured else 0.0

    def to_json(self) -> list[int | list[int]]:
        """As the ledger keeps it."""
        return [list(part) if isinstance(part, tuple) else part for part in astuple(self)]

    @classmethod
    def from_json(cls, parts: list[int | list[int]]) -> "RangeReport":
        """What `to_json` gave."""
        updates, measured, *lists = parts
        assert isinstance(updates, int)
        assert isinstance(measured, int)
        clipped, saturated, saturating = (
            tuple(part) if isinstance(part, list) else () for part in lists
        )
        return cls(updates, measured, clipped, saturated, saturating)


def grow(model: GlobalModel, report: RangeReport, tolerance: int) -> GlobalModel:
    """The model with every clipped scale doubled once; itself where there is none.

    Args:
        model: Any version.
        report: What devices have measured, with scales no larger than the model's.
        tolerance: See `RangePolicy`.
    """
    exponents = bytes(
        min(GROWTH_LIMIT, exponent + report.is_clipped(place, tolerance))
        for place, exponent in enumerate(model.exponents)
    )
    return model if exponents == model.exponents else model.grown(exponents)


def _sum(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))
