# SPDX-License-Identifier: Apache-2.0
"""The best selection of one item per group under limits on several resources: exact, best first.

A multiple-choice knapsack in several dimensions. Partial selections wait in a queue, ordered by
what they could still reach: the smallest, over the resources, of the optimum of the fractional
problem with that resource alone (Sinha and Zoltners, Operations Research 27(3), 1979). The first
complete selection that leaves the queue is therefore a best one, the next one a next best one.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Final

import numpy as np

from fleetgrad_codegen.training.convolve import Doubles
from fleetgrad_codegen.training.fixed_point import Ints

MOST_NODES: Final = 400_000
_BOUNDING: Final = 6
"""Resources whose bounds are computed: the scarcest ones. All are checked."""


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """Something to take.

    Attributes:
        gain: Above 0; an integer, so that sums do not depend on their order.
        load: int64, of each resource.
    """

    gain: int
    load: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What a selection may begin with.

    Attributes:
        gain: Of the start by itself.
        load: int64, of each resource.
        groups: Of each, at most one item may be taken.
    """

    gain: int
    load: Ints
    groups: tuple[tuple[Item, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """A complete selection.

    Attributes:
        start: Index of where it began.
        items: Index of the item of each group; None where nothing is taken.
        gain: In all.
        load: int64, of each resource, in all.
    """

    start: int
    items: tuple[int | None, ...]
    gain: int
    load: Ints


class SearchLimitError(Exception):
    """The queue has grown beyond `MOST_NODES` before the best selection was certain."""


def selections(starts: Sequence[Start], limits: Ints) -> Iterator[Selection]:
    """All selections within the limits, best gain first.

    Args:
        starts: Where to begin; one is chosen.
        limits: int64, of each resource.

    Yields:
        Selections in the order of falling gain; the order among equals is fixed.

    Raises:
        SearchLimitError: It takes too long.
    """
    solvers = [_Bounds(start, limits) for start in starts]
    ticket = count()
    queue: list[tuple[int, int, int, int, int, tuple[int | None, ...], Ints]] = []
    for number, start in enumerate(starts):
        if solvers[number].may_fit(0, start.load):
            bound = start.gain + solvers[number].most(0, start.load)
            heapq.heappush(queue, (-bound, 0, next(ticket), number, start.gain, (), start.load))
    visited = 0
    while queue:
        visited += 1
        if visited > MOST_NODES:
            raise SearchLimitError
        *_, number, gain, items, load = heapq.heappop(queue)
        groups, depth = starts[number].groups, len(items)
        if depth == len(groups):
            yield Selection(number, items, gain, load)
            continue
        none = Item(0, np.zeros_like(load))
        for index, item in ((None, none), *enumerate(groups[depth])):
            made = load + item.load
            if solvers[number].may_fit(depth + 1, made):
                sure = gain + item.gain
                bound = sure + solvers[number].most(depth + 1, made)
                # Of equal bounds the one that is nearer to its end: all of them may lead to it.
                entry = (-bound, -depth, next(ticket), number, sure, (*items, index), made)
                heapq.heappush(queue, entry)


class _Bounds:
    """The most that the groups from some depth on can bring, one resource at a time."""

    def __init__(self, start: Start, limits: Ints) -> None:
        self._limits = limits
        relief = [
            np.minimum(0, np.min([item.load for item in group], axis=0, initial=0))
            for group in start.groups
        ]
        nothing = np.zeros_like(start.load)
        self._relief = [
            np.sum([nothing, *relief[depth:]], axis=0) for depth in range(len(relief) + 1)
        ]
        peak = start.load.astype(np.float64)
        for group in start.groups:
            peak += np.maximum(0, np.max([item.load for item in group], axis=0, initial=0))
        scarce = np.argsort(-peak / np.maximum(limits, 1), kind="stable")[:_BOUNDING]
        self._resources = sorted(int(resource) for resource in scarce)
        self._tables = [
            [_steps(start.groups[depth:], resource) for resource in self._resources]
            for depth in range(len(start.groups) + 1)
        ]

    def may_fit(self, depth: int, load: Ints) -> bool:
        """Whether limits can be kept, if those items come that make room."""
        return bool((load + self._relief[depth] <= self._limits).all())

    def most(self, depth: int, load: Ints) -> int:
        """An upper bound of the gain of what is to come."""
        bounds = []
        left = self._limits - load - self._relief[depth]
        for resource, (loads, gains) in zip(self._resources, self._tables[depth], strict=True):
            room = float(left[resource])
            place = int(np.searchsorted(loads, room, side="right")) - 1
            bound = gains[place]
            if place + 1 < len(loads):
                step = loads[place + 1] - loads[place]
                bound += (gains[place + 1] - gains[place]) * (room - loads[place]) / step
            bounds.append(bound)
        return int(min(bounds) + 1e-6)


def _steps(groups: Sequence[Sequence[Item]], resource: int) -> tuple[Doubles, Doubles]:
    """What the best use of growing room loads and brings in all."""
    sure, pieces = 0.0, []
    for group in groups:
        points = [(float(item.load[resource]), float(item.gain)) for item in group]
        sure += max((gain for load, gain in points if load <= 0), default=0.0)
        pieces += _hull(points)
    pieces.sort(key=lambda piece: (-piece[1] / piece[0], piece[0]))
    loads = np.cumsum([0.0, *(load for load, _ in pieces)])
    gains = sure + np.cumsum([0.0, *(gain for _, gain in pieces)])
    return loads, gains


def _hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Edges of the upper concave hull from what costs nothing, as (load, gain) of each."""
    start = (0.0, max((gain for load, gain in points if load <= 0), default=0.0))
    kept = [start]
    for load, gain in sorted(points):
        if load <= 0 or gain <= kept[-1][1]:
            continue
        if load == kept[-1][0]:
            kept.pop()
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) <= _slope(kept[-1], (load, gain)):
            kept.pop()
        kept.append((load, gain))
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(kept)]


def _slope(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (other[1] - one[1]) / (other[0] - one[0])
