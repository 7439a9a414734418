# SPDX-License-Identifier: Apache-2.0
"""Says whether a layout is valid, sharing no reasoning with the code that made it.

Walks over all pairs of placements, and compares bytes and steps directly.
"""

from itertools import combinations

from fleetgrad_codegen.errors import CodegenError
from fleetgrad_codegen.plan.buffers import Layout, Placement


class LayoutError(CodegenError):
    """A layout in which one tensor would destroy another: a defect of the planner."""


def check_layout(layout: Layout) -> None:
    """Checks offsets, alignment, names, and that no two live buffers share a byte.

    Raises:
        LayoutError: Names the first offence.
    """
    names = [placement.buffer.name for placement in layout.placements]
    if len(set(names)) != len(names):
        raise LayoutError("Two buffers of the memory plan have the same name")
    for placement in layout.placements:
        if placement.offset < 0 or placement.offset % placement.buffer.align:
            raise LayoutError(
                "A buffer of the memory plan is out of place",
                where=_describe(placement),
                expected=f"an offset that is a multiple of {placement.buffer.align}",
            )
    for one, other in combinations(layout.placements, 2):
        apart = one.end <= other.offset or other.end <= one.offset
        if not apart and _share_a_byte_at_a_step(one, other):
            raise LayoutError(
                "Two live buffers of the memory plan overlap",
                where=f"{_describe(one)}; {_describe(other)}",
            )


def _share_a_byte_at_a_step(one: Placement, other: Placement) -> bool:
    for step in range(one.buffer.first, one.buffer.last + 1):
        if other.buffer.first <= step <= other.buffer.last:
            bottom = max(one.offset, other.offset)
            ends = (p.offset + p.buffer.size_at(step) for p in (one, other))
            if bottom < min(ends):
                return True
    return False


def _describe(placement: Placement) -> str:
    buffer = placement.buffer
    return (
        f"{buffer.name} (bytes {placement.offset}..{placement.end}, "
        f"steps {buffer.first}..{buffer.last})"
    )
