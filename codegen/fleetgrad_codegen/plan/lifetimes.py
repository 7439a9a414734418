# SPDX-License-Identifier: Apache-2.0
"""From who touches what, when, to buffers with a lifetime."""

from collections.abc import Collection, Mapping, Sequence
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
        One buffer per name, in the order of first touch. Where regions of one name have several
        sizes, a step that touches two of them needs the larger one, and the steps between two
        touches what is left by the first and found by the second.

    Raises:
        ValueError: Two regions of one name differ in more than their size, or an input or output
            is never touched.
    """
    regions: dict[str, Region] = {}
    touches: dict[str, dict[int, int]] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for step, used in enumerate(touched):
        for region in used:
            known = regions.setdefault(region.name, region)
            if (known.align, known.kept) != (region.align, region.kept):
                raise ValueError(f"region {region.name} is declared in two ways")
            sizes = touches.setdefault(region.name, {})
            sizes[step] = max(sizes.get(step, 0), region.nbytes)
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
        _buffer(region, first[name], last[name], touches[name]) for name, region in regions.items()
    )


def _buffer(region: Region, first: int, last: int, touches: Mapping[int, int]) -> Buffer:
    """The buffer of a region from its size at each step that touches it."""
    largest = max(touches.values())
    if min(touches.values()) == largest:
        return Buffer(region.name, largest, first, last, region.align)
    steps = sorted(touches)
    sizes = [touches[steps[0]]] * (steps[0] - first)
    for step, following in zip(steps, [*steps[1:], last + 1], strict=True):
        between = min(touches[step], touches.get(following, touches[step]))
        sizes += [touches[step], *[between] * (following - step - 1)]
    return Buffer(region.name, largest, first, last, region.align, tuple(sizes))


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
    steps = {span[0] for buffer in buffers for span in buffer.spans}
    worst = 0
    for step in steps:
        padded, slack = 0, inf
        for buffer in buffers:
            if buffer.first <= step <= buffer.last and (size := buffer.size_at(step)):
                padding = -size % unit
                padded += size + padding
                slack = min(slack, -padding)
        worst = max(worst, padded + int(slack) if padded else 0)
    return worst
