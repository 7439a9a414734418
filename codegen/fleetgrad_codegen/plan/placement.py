# SPDX-License-Identifier: Apache-2.0
"""Arena offsets: pure functions from lifetimes to a layout.

Every method is an order in which buffers take the lowest gap that is free during their lifetime.
Two orders are computed, a third is found by a seeded climb from the better of them; the smallest
arena wins. Ties break on size, lifetime and name, so equal input gives equal output anywhere.
"""

import random
from collections.abc import Sequence

from fleetgrad_codegen.plan.buffers import Buffer, Layout, Placement
from fleetgrad_codegen.plan.check import check_layout
from fleetgrad_codegen.plan.lifetimes import lower_bound

_CLIMB_WORK = 2_000_000  # buffer pairs looked at while climbing: about a second
_CLIMB_MOVES = 500
_SEED = 0


def place(buffers: Sequence[Buffer]) -> Layout:
    """The smallest layout that the methods find, checked.

    Args:
        buffers: With distinct names.

    Returns:
        A valid layout; the same one for the same buffers.

    Raises:
        LayoutError: The result overlaps, which would be a defect of this module.
    """
    conflicts = _conflicts(buffers)
    bound = lower_bound(buffers)
    best_order = _by_size(buffers)
    best = _first_fit(buffers, best_order, conflicts)
    method = "greedy by size"
    order = _by_conflicts(buffers, conflicts)
    offsets = _first_fit(buffers, order, conflicts)
    if _height(buffers, offsets) < _height(buffers, best):
        best_order, best, method = order, offsets, "greedy by conflicts"
    climbed = _climb(buffers, best_order, conflicts, bound)
    if _height(buffers, climbed) < _height(buffers, best):
        best, method = climbed, "hill climb"
    placements = tuple(Placement(buffer, best[index]) for index, buffer in enumerate(buffers))
    layout = Layout(placements, bound, method)
    check_layout(layout)
    return layout


def _conflicts(buffers: Sequence[Buffer]) -> list[list[int]]:
    return [
        [j for j, other in enumerate(buffers) if i != j and buffer.meets(other)]
        for i, buffer in enumerate(buffers)
    ]


def _by_size(buffers: Sequence[Buffer]) -> list[int]:
    return sorted(
        range(len(buffers)),
        key=lambda i: (-buffers[i].size, buffers[i].first - buffers[i].last, buffers[i].name),
    )


def _by_conflicts(buffers: Sequence[Buffer], conflicts: list[list[int]]) -> list[int]:
    return sorted(
        range(len(buffers)),
        key=lambda i: (-len(conflicts[i]), -buffers[i].size, buffers[i].name),
    )


def _first_fit(
    buffers: Sequence[Buffer], order: Sequence[int], conflicts: list[list[int]]
) -> list[int]:
    """Offsets by buffer: each in the lowest gap left by those placed before it."""
    offsets = [-1] * len(buffers)
    for index in order:
        buffer = buffers[index]
        taken = sorted(
            (offsets[other], offsets[other] + buffers[other].size)
            for other in conflicts[index]
            if offsets[other] >= 0
        )
        offset = 0
        for start, end in taken:
            if offset + buffer.size <= start:
                break
            offset = max(offset, end + -end % buffer.align)
        offsets[index] = offset
    return offsets


def _height(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max(
        (offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)), default=0
    )


def _climb(
    buffers: Sequence[Buffer], order: list[int], conflicts: list[list[int]], bound: int
) -> list[int]:
    """Swaps two places of the order at random, and stays where the arena does not grow."""
    draw = random.Random(_SEED)
    best = _first_fit(buffers, order, conflicts)
    height = _height(buffers, best)
    pairs = sum(map(len, conflicts)) + len(buffers)
    if len(buffers) < 2:
        return best
    for _ in range(min(_CLIMB_MOVES, _CLIMB_WORK // pairs)):
        if height == bound:
            break
        i, j = draw.sample(range(len(order)), 2)
        trial = list(order)
        trial[i], trial[j] = trial[j], trial[i]
        offsets = _first_fit(buffers, trial, conflicts)
        if (trial_height := _height(buffers, offsets)) <= height:
            order, best, height = trial, offsets, trial_height
    return best
