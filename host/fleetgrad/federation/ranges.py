# SPDX-License-Identifier: Apache-2.0
"""When activation scales grow: from what devices report of outputs that a range has cut off.

Scales only ever grow, by a factor of two at a time, and only while the share of clipped outputs,
pooled over the devices, exceeds what is tolerated. Integers throughout, so that a replay decides
likewise.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleetgrad.device import Update
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


def is_clipped(updates: Iterable[Update], place: int, tolerance: int) -> bool:
    """Whether more of a range's outputs were clipped than is tolerated, over all devices."""
    measured = [update for update in updates if update.measured]
    clipped = sum(update.measured * update.clipped[place] for update in measured)
    return clipped > tolerance * sum(update.measured for update in measured)


def share(updates: Iterable[Update], place: int) -> float:
    """The share of a range's outputs that were clipped; 0 where nothing was measured."""
    measured = [update for update in updates if update.measured]
    weight = sum(update.measured for update in measured)
    clipped = sum(update.measured * update.clipped[place] for update in measured)
    return clipped / weight / UNIT if weight else 0.0


def grow(model: GlobalModel, updates: Mapping[int, Update], tolerance: int) -> GlobalModel:
    """The model with every clipped scale doubled once; itself where there is none.

    Args:
        model: Any version.
        updates: What devices have measured, with scales no larger than the model's.
        tolerance: See `RangePolicy`.
    """
    exponents = bytes(
        min(GROWTH_LIMIT, exponent + is_clipped(updates.values(), place, tolerance))
        for place, exponent in enumerate(model.exponents)
    )
    return model if exponents == model.exponents else model.grown(exponents)
