# SPDX-License-Identifier: Apache-2.0
"""Arena offsets: pure functions from lifetimes to a layout.

Every layout follows from an order in which buffers take the lowest gap that is free during their
lifetime. The best of a few computed orders is then repaired: of the buffers that carry the highest
one, or sometimes of all, one is drawn and moves to another place of the order; the change stays
where the arena does not grow. Draws are seeded, ties break on size, lifetime and name, and the
search ends after a fixed number of comparisons, so equal input gives equal output anywhere.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fleetgrad_codegen.plan.buffers import Buffer, Layout, Placement
from fleetgrad_codegen.plan.check import check_layout
from fleetgrad_codegen.plan.lifetimes import lower_bound

_WORK = 2_000_000  # pairs of buffers looked at while repairing: about a second
_MOVES = 2_000
_SEED = 0
_NEAR = 1024  # the search ends where less than this part of the bound could be gained


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
    method, order = min(
        _orders(buffers, conflicts).items(),
        key=lambda item: _height(buffers, _first_fit(buffers, item[1], conflicts)),
    )
    first = _first_fit(buffers, order, conflicts)
    best = _repaired(buffers, order, conflicts, bound)
    if _height(buffers, best) < _height(buffers, first):
        method = f"{method}, repaired"
    placements = tuple(Placement(buffer, best[index]) for index, buffer in enumerate(buffers))
    layout = Layout(placements, bound, method)
    check_layout(layout)
    return layout


class _Conflict(NamedTuple):
    """Two buffers that are alive at some step.

    Attributes:
        other: Index of the other one.
        mine: Largest size of this one while both live.
        its: Of the other one.
    """

    other: int
    mine: int
    its: int


def _conflicts(buffers: Sequence[Buffer]) -> list[list[_Conflict]]:
    return [
        [
            _Conflict(j, buffer.size_beside(other), other.size_beside(buffer))
            for j, other in enumerate(buffers)
            if i != j and buffer.size and other.size and buffer.meets(other)
        ]
        for i, buffer in enumerate(buffers)
    ]


def _orders(
    buffers: Sequence[Buffer], conflicts: Sequence[Sequence[_Conflict]]
) -> dict[str, list[int]]:
    """Orders to begin with, by name; where several are as good, the first one is taken."""

    def steps(i: int) -> int:
        return buffers[i].last - buffers[i].first + 1

    keys: dict[str, Callable[[int], tuple[int, int]]] = {
        "by size": lambda i: (-buffers[i].size, -steps(i)),
        "by conflicts": lambda i: (-len(conflicts[i]), -buffers[i].size),
        "by area": lambda i: (-buffers[i].size * steps(i), 0),
        "by lifetime": lambda i: (-steps(i), -buffers[i].size),
    }
    return {
        name: sorted(range(len(buffers)), key=lambda i: (*key(i), buffers[i].name))
        for name, key in keys.items()
    }


def _first_fit(
    buffers: Sequence[Buffer], order: Sequence[int], conflicts: Sequence[Sequence[_Conflict]]
) -> list[int]:
    """Offsets by buffer: each in the lowest gap left by those placed before it."""
    offsets = [-1] * len(buffers)
    for index in order:
        align = buffers[index].align
        taken = sorted(
            (offsets[other], offsets[other] + its, mine)
            for other, mine, its in conflicts[index]
            if offsets[other] >= 0
        )
        offset, moved = 0, True
        while moved:  # once, and once more to see that it fits, unless sizes vary
            moved = False
            for start, end, size in taken:
                if start < offset + size and offset < end:
                    offset, moved = end + -end % align, True
        offsets[index] = offset
    return offsets


def _height(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max(
        (offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)), default=0
    )


def _repaired(
    buffers: Sequence[Buffer],
    order: Sequence[int],
    conflicts: Sequence[Sequence[_Conflict]],
    bound: int,
) -> list[int]:
    """The best offsets that moving buffers within the order leads to."""
    draw = random.Random(_SEED)
    order = list(order)
    best = _first_fit(buffers, order, conflicts)
    height = _height(buffers, best)
    pairs = sum(map(len, conflicts)) + len(buffers)
    for _ in range(min(_MOVES, _WORK // max(pairs, 1))):
        if height <= bound + bound // _NEAR:
            break
        blamed = _pile(buffers, best, conflicts, draw) if draw.random() < 0.75 else order
        moved = draw.choice(blamed)
        place_now = order.index(moved)
        earlier = place_now and draw.random() < 0.5  # what is in the way is placed too late
        trial = order[:place_now] + order[place_now + 1 :]
        trial.insert(draw.randrange(place_now if earlier else len(order)), moved)
        offsets = _first_fit(buffers, trial, conflicts)
        if (trial_height := _height(buffers, offsets)) <= height:
            order, best, height = trial, offsets, trial_height
    return best


def _pile(
    buffers: Sequence[Buffer],
    offsets: Sequence[int],
    conflicts: Sequence[Sequence[_Conflict]],
    draw: random.Random,
) -> list[int]:
    """The highest buffer, one that it rests on, and so on down to the bottom."""
    ends = [offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)]
    pile = [ends.index(max(ends))]
    while offsets[pile[-1]] > 0:  # a buffer of its own size lies below, and so on
        top = pile[-1]
        below = [
            other
            for other, _, its in conflicts[top]
            if 0 <= offsets[top] - offsets[other] - its < buffers[top].align
        ]
        pile.append(draw.choice(below))
    return pile
