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
        name: Identifies it; equal names are the same memory. What operators and schemes add has a
            space in its name, so that no tensor of a model can be called the same.
        nbytes: Size.
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
        size: In bytes, without padding.
        first: First step that touches it.
        last: Last step that touches it, inclusive.
        align: Of its offset; a power of two.
    """

    name: str
    size: int
    first: int
    last: int
    align: int = DEFAULT_ALIGN

    def meets(self, other: "Buffer") -> bool:
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Placement:
    """A buffer and its offset in the arena, in bytes."""

    buffer: Buffer
    offset: int

    @property
    def end(self) -> int:
        """First byte behind it."""
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
