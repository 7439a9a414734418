# SPDX-License-Identifier: Apache-2.0
"""From what the loop in C has summed to the partial sum that every strategy takes."""

from fleetgrad.errors import RoundError
from fleetgrad.federation.model import Layout
from fleetgrad.federation.partial import PartialSum
from fleetgrad.federation.ranges import RangeReport
from fleetgrad.simulate.native import Shard

_FULL = (1 << 64) - 1  # a bound that may be any larger number


def report_of(shard: Shard) -> RangeReport:
    """What the devices of a shard say of limits."""
    totals = shard.totals
    return RangeReport(
        totals.updates, totals.measured, shard.clipped, shard.saturated, shard.saturating
    )


def partial_of(shard: Shard, layout: Layout) -> PartialSum:
    """A shard of a training round, its devices weighted by their samples.

    The mark is the shard's digest: 64 bits, which tell sums of the same fleet apart. (Hashing every
    update as a gateway does would take as long as the training.)

    Args:
        shard: Of one round; its numbers become the sum's own.
        layout: Of the parameters.

    Raises:
        RoundError: A sum has left int64.
    """
    if _FULL in shard.bounds:
        raise RoundError("too many updates to sum a segment exactly in 64 bits")
    totals = shard.totals
    part = PartialSum(
        layout,
        shard.deltas,
        (totals.samples,),
        totals.updates,
        totals.digest,
        report_of(shard),
        shard.bounds,
    )
    total = PartialSum.empty(layout)
    total.merge(part)  # which checks the bounds
    return total
