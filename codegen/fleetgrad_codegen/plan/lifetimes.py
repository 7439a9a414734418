# SPDX-License-Identifier: Apache-2.0
"""From who touches what, when, to buffers with a lifetime."""

from collections.abc import Collection, Sequence
from math import inf

from fleetgrad_codegen.plan.buffers import Buffer, Region


def lifetimes(
    touched: Sequence[Sequence[Region]],
    inputs: Collection[str] = (),
    outputs: Collection[str] = (),
    forward_steps: int | None = None,
) -> tuple[Buffer, ...]:
    """The lifetime of every region on one timeline.

    Args:
        touched: Per step, in the order of time, the regions it reads or writes.
        inputs: Names of regions that the caller fills before the first step.
        outputs: Names of regions that the caller reads after the forward pass.
        forward_steps: How many steps the forward pass has; all of them by default.

    Returns:
        One buffer per region, in the order of first touch.

    Raises:
        ValueError: Two regions of one name differ, or an input or output is never touched.
    """
    regions: dict[str, Region] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for step, used in enumerate(touched):
        for region in used:
            if regions.setdefault(region.name, region) != region:
                raise ValueError(f"region {region.name} is declared in two ways")
            first.setdefault(region.name, step)
            last[region.name] = step
    unknown = {*inputs, *outputs} - regions.keys()
    if unknown:
        raise ValueError(f"no step touches {', '.join(sorted(unknown))}")
    for name, region in regions.items():
        if region.kept or name in inputs:
            first[name] = 0
    end = (len(touched) if forward_steps is None else forward_steps) - 1
    for name in outputs:
        last[name] = max(last[name], end)
    return tuple(
        Buffer(name, region.nbytes, first[name], last[name], region.align)
        for name, region in regions.items()
    )


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """Bytes below which no arena can hold these lifetimes.

    At each step the live buffers lie side by side. All offsets are multiples of the smallest
    alignment, so every buffer but the topmost one takes its size rounded up to that.

    Returns:
        The largest need of any step; 0 without buffers.
    """
    if not buffers:
        return 0
    unit = min(buffer.align for buffer in buffers)
    steps = {buffer.first for buffer in buffers}
    worst = 0
    for step in steps:
        padded, slack = 0, inf
        for buffer in buffers:
            if buffer.first <= step <= buffer.last and buffer.size:
                padding = -buffer.size % unit
                padded += buffer.size + padding
                slack = min(slack, -padding)
        worst = max(worst, padded + int(slack) if padded else 0)
    return worst
