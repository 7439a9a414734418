# SPDX-License-Identifier: Apache-2.0
"""The planner's vocabulary: regions that steps touch, buffers with a lifetime, a layout."""

from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_ALIGN = 4
"""int8 tensors could lie anywhere; word loads of SIMD kernels want this."""


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes in the arena that one or more steps touch.

    Attributes:
        name: Identifies it; equal names are the same memory, from the same first byte on. What
            operators and schemes add has a space in its name, so that no tensor of a model can be
            called the same.
        nbytes: Size; tensors of several sizes that follow each other in the same memory differ.
        align: Of its first byte; a power of two that the widest element type needs.
        kept: Survives from sample to sample until the last step that touches it, such as the rows
            of a batch: nothing else may ever use its bytes before that.
    """

    name: str
    nbytes: int
    align: int = DEFAULT_ALIGN
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Buffer:
    """A region with its lifetime.

    Attributes:
        name: Of the region.
        size: In bytes, without padding, where it is largest.
        first: First step that touches it.
        last: Last step that touches it, inclusive.
        align: Of its offset; a power of two.
        sizes: Size at each of its steps, in order; empty where it is the same throughout.
    """

    name: str
    size: int
    first: int
    last: int
    align: int = DEFAULT_ALIGN
    sizes: tuple[int, ...] = ()

    def meets(self, other: "Buffer") -> bool:
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last

    def size_at(self, step: int) -> int:
        """Size at one of its steps."""
        return self.sizes[step - self.first] if self.sizes else self.size

    def size_beside(self, other: "Buffer") -> int:
        """Largest size at the steps at which both are alive."""
        if not self.sizes:
            return self.size
        first, last = max(self.first, other.first), min(self.last, other.last)
        return max(self.sizes[first - self.first : last - self.first + 1])

    @property
    def spans(self) -> tuple[tuple[int, int, int], ...]:
        """First step, last step and size of each stretch of constant size."""
        found: list[tuple[int, int, int]] = []
        for step in range(self.first, self.last + 1):
            size = self.size_at(step)
            start = found.pop()[0] if found and found[-1][2] == size else step
            found.append((start, step, size))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Placement:
    """A buffer and its offset in the arena, in bytes."""

    buffer: Buffer
    offset: int

    @property
    def end(self) -> int:
        """First byte behind it where it is largest."""
        return self.offset + self.buffer.size


@dataclass(frozen=True, slots=True)
class Layout:
    """A valid arena.

    Attributes:
        placements: One per buffer, in the order of the buffers given.
        lower_bound_bytes: No layout of these lifetimes can be smaller.
        method: Which placement method won.
    """

    placements: tuple[Placement, ...]
    lower_bound_bytes: int
    method: str

    @property
    def arena_bytes(self) -> int:
        """Size of the arena."""
        return max((placement.end for placement in self.placements), default=0)

    def offset(self, name: str) -> int:
        """Offset of the buffer called ``name``.

        Raises:
            KeyError: There is no such buffer.
        """
        for placement in self.placements:
            if placement.buffer.name == name:
                return placement.offset
        raise KeyError(name)


def live_at(buffers: Sequence[Buffer], step: int) -> tuple[Buffer, ...]:
    """The buffers that are alive at a step, in the order given."""
    return tuple(buffer for buffer in buffers if buffer.first <= step <= buffer.last)
