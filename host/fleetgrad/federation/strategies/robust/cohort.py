# SPDX-License-Identifier: Apache-2.0
"""The updates of one round as a matrix: a row a device, ascending by id, read in column blocks.

A block is all that is in memory at once; what a rule learns about whole rows it learns from their
Gram matrix, which is exact: int8 products sum up below 2^53, so that float64 is as good as an
integer and any order of summation gives the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad.errors import RoundError

BLOCK_BYTES = 1 << 24
"""Of int64 values, in one block."""

LARGEST_DELTA = 127
INT64 = 1 << 63

Integers = NDArray[Any]
"""int64 where everything that is computed from it fits, else Python's own integers."""


class Cohort(ABC):
    """Rows of integers.

    Attributes:
        scale: Values are in 1/scale of the unit of a device's parameter.
    """

    scale: int = 1

    @property
    @abstractmethod
    def size(self) -> int:
        """Rows."""

    @property
    @abstractmethod
    def devices(self) -> tuple[int, ...]:
        """Whose rows they are, ascending."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Columns: parameters that train."""

    @property
    @abstractmethod
    def largest(self) -> int:
        """No value is beyond plus or minus this."""

    @property
    @abstractmethod
    def gram(self) -> Integers:
        """Inner products of all pairs of rows, [size, size], exact."""

    @abstractmethod
    def block(self, start: int, stop: int) -> NDArray[np.int64]:
        """Columns ``start`` to ``stop`` of all rows."""

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """All columns, in order, in blocks of at most `BLOCK_BYTES`."""
        width = max(1, BLOCK_BYTES // (8 * max(1, self.size)))
        for start in range(0, self.count, width):
            stop = min(start + width, self.count)
            yield slice(start, stop), self.block(start, stop)


@dataclass(frozen=True, eq=False)
class Updates(Cohort):
    """What devices have sent.

    Attributes:
        segments: Element count of every segment.
        exponents: Of every row, one for each segment.
        read: int8 columns ``start`` to ``stop`` of all rows.
        ids: Of the devices.
    """

    segments: tuple[int, ...]
    exponents: Sequence[tuple[int, ...]]
    read: Callable[[int, int], NDArray[np.int8]]
    ids: tuple[int, ...]

    @property
    def devices(self) -> tuple[int, ...]:
        """See `Cohort.devices`."""
        return self.ids

    @property
    def size(self) -> int:
        """See `Cohort.size`."""
        return len(self.exponents)

    @property
    def count(self) -> int:
        """See `Cohort.count`."""
        return sum(self.segments)

    @property
    def largest(self) -> int:
        """See `Cohort.largest`."""
        highest = max((e for row in self.exponents for e in row), default=0)
        return LARGEST_DELTA << highest

    def block(self, start: int, stop: int) -> NDArray[np.int64]:
        """See `Cohort.block`."""
        values = self.read(start, stop).astype(np.int64)
        for segment, part in self._parts(start, stop):
            values[:, part] <<= self._shifts(segment)[:, np.newaxis]
        return values

    @cached_property
    def gram(self) -> Integers:
        """See `Cohort.gram`; half the bytes of a block at a time as float64."""
        products = [np.zeros((self.size, self.size)) for _ in self.segments]
        width = max(1, BLOCK_BYTES // (16 * max(1, self.size)))
        for start in range(0, self.count, width):
            stop = min(start + width, self.count)
            deltas = self.read(start, stop).astype(np.float64)
            for segment, part in self._parts(start, stop):
                products[segment] += deltas[:, part] @ deltas[:, part].T
        whole = [product.astype(np.int64) for product in products]
        shifts = [self._shifts(segment) for segment in range(len(self.segments))]
        # |<x, y>| is at most the larger square, a distance four of them, a score a sum over rows.
        largest = max(
            sum(int(p[row, row]) << 2 * int(s[row]) for p, s in zip(whole, shifts, strict=True))
            for row in range(self.size)
        )
        kind: type = np.int64 if 4 * self.size * largest < INT64 else object
        total: Integers = np.zeros((self.size, self.size), kind)
        for product, shift in zip(whole, shifts, strict=True):
            total += product.astype(kind) << (shift[:, np.newaxis] + shift).astype(kind)
        return total

    def _shifts(self, segment: int) -> NDArray[np.int64]:
        return np.array([row[segment] for row in self.exponents], np.int64)

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, slice]]:
        """Segments that reach into some columns, and where, counted from ``start``."""
        first = 0
        for segment, count in enumerate(self.segments):
            low, high = max(first, start), min(first + count, stop)
            if low < high:
                yield segment, slice(low - start, high - start)
            first += count


@dataclass(frozen=True, eq=False)
class Chosen(Cohort):
    """Some rows of a cohort.

    Attributes:
        base: The cohort.
        rows: Which; at least one.
    """

    base: Cohort
    rows: tuple[int, ...]

    def __post_init__(self) -> None:
        """Takes the unit over."""
        object.__setattr__(self, "scale", self.base.scale)

    @property
    def size(self) -> int:
        """See `Cohort.size`."""
        return len(self.rows)

    @property
    def devices(self) -> tuple[int, ...]:
        """See `Cohort.devices`."""
        return tuple(self.base.devices[row] for row in self.rows)

    @property
    def count(self) -> int:
        """See `Cohort.count`."""
        return self.base.count

    @property
    def largest(self) -> int:
        """See `Cohort.largest`."""
        return self.base.largest

    @property
    def gram(self) -> Integers:
        """See `Cohort.gram`."""
        rows = list(self.rows)
        return self.base.gram[np.ix_(rows, rows)]

    def block(self, start: int, stop: int) -> NDArray[np.int64]:
        """See `Cohort.block`."""
        return self.base.block(start, stop)[list(self.rows)]


@dataclass(frozen=True, eq=False)
class Mixed(Cohort):
    """Rows that are means of a cohort's rows: sums, in a unit that is smaller by their number.

    Attributes:
        base: The cohort.
        members: Of every new row, the old ones that it is the mean of; equally many for each.
    """

    base: Cohort
    members: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuses what would leave 64 bits."""
        object.__setattr__(self, "scale", self.base.scale * self.members.shape[1])
        if 2 * self.size * self.largest >= INT64:
            raise RoundError("updates are too large to average exactly in 64 bits")

    @property
    def size(self) -> int:
        """See `Cohort.size`."""
        return len(self.members)

    @property
    def devices(self) -> tuple[int, ...]:
        """See `Cohort.devices`."""
        return self.base.devices

    @property
    def count(self) -> int:
        """See `Cohort.count`."""
        return self.base.count

    @property
    def largest(self) -> int:
        """See `Cohort.largest`."""
        return self.base.largest * int(self.members.shape[1])

    @cached_property
    def gram(self) -> Integers:
        """See `Cohort.gram`."""
        gram = self.base.gram
        largest = max(int(value) for value in np.diagonal(gram)) * self.members.shape[1] ** 2
        kind: type = np.int64 if 4 * self.size * largest < INT64 else object
        half = self._sums(gram.astype(kind))
        return self._sums(np.ascontiguousarray(half.T))

    def block(self, start: int, stop: int) -> NDArray[np.int64]:
        """See `Cohort.block`."""
        return self._sums(self.base.block(start, stop))

    def _sums(self, rows: Integers) -> Integers:
        """Sums of members; one new row at a time, so that nothing larger than a block arises."""
        return np.stack([rows[members].sum(axis=0) for members in self.members])
