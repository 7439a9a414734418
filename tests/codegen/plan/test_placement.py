# SPDX-License-Identifier: Apache-2.0
"""The planner: valid, deterministic, never below the bound, seldom above it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad_codegen.plan import (
    Buffer,
    Layout,
    LayoutError,
    Placement,
    Region,
    check_layout,
    lifetimes,
    lower_bound,
    place,
)


@st.composite
def buffer_lists(draw: st.DrawFn) -> list[Buffer]:
    steps = draw(st.integers(1, 12))
    made = []
    for index in range(draw(st.integers(0, 14))):
        first = draw(st.integers(0, steps - 1))
        last = draw(st.integers(first, steps - 1))
        size = draw(st.one_of(st.integers(0, 40), st.integers(0, 100_000)))
        sizes: tuple[int, ...] = ()
        if draw(st.booleans()):
            steps_of = last - first + 1
            sizes = tuple(draw(st.integers(0, size)) for _ in range(steps_of))
            size = max(sizes)
        align = draw(st.sampled_from([1, 4, 4, 4, 8]))
        made.append(Buffer(f"b{index}", size, first, last, align, sizes))
    return made


@given(buffer_lists())
@settings(deadline=None, max_examples=80)
def test_layouts_are_valid_complete_and_not_below_the_bound(buffers: list[Buffer]) -> None:
    layout = place(buffers)
    check_layout(layout)
    assert [placement.buffer for placement in layout.placements] == buffers
    assert layout.arena_bytes >= layout.lower_bound_bytes == lower_bound(buffers)
    assert layout.arena_bytes <= sum(buffer.size + buffer.align for buffer in buffers)


@given(buffer_lists())
@settings(deadline=None, max_examples=20)
def test_the_same_buffers_give_the_same_layout(buffers: list[Buffer]) -> None:
    assert place(buffers) == place(buffers)


@given(buffer_lists())
@settings(deadline=None, max_examples=100)
def test_the_bound_is_what_the_worst_step_needs_side_by_side(buffers: list[Buffer]) -> None:
    for step in range(12):
        alive = [b for b in buffers if b.first <= step <= b.last]
        assert sum(buffer.size_at(step) for buffer in alive) <= lower_bound(buffers)


@given(st.lists(st.integers(1, 250).map(lambda words: 4 * words), min_size=1, max_size=12))
@settings(deadline=None)
def test_a_chain_of_layers_is_at_the_bound_or_near_it(sizes: list[int]) -> None:
    chain = [Buffer(f"b{i}", size, i, i + 1) for i, size in enumerate(sizes)]
    layout = place(chain)
    assert layout.arena_bytes <= 1.05 * layout.lower_bound_bytes + 4


# What a small network that trains half of its channels needs: every order computed beforehand
# leaves a gap that only errors as large as the first layer's output could fill.
SANDWICH = [
    Buffer("output", 33810, 0, 1),
    Buffer("errors of output", 33810, 30, 31),
    Buffer("first channels", 19320, 0, 0),
    Buffer("errors of second output", 16660, 27, 29),
    Buffer("second output", 16660, 2, 3),
    Buffer("pooled", 8330, 1, 29),
    Buffer("routes", 8330, 1, 30),
    Buffer("errors of pooled", 8330, 28, 30),
    Buffer("input", 4830, 0, 31),
]


def test_each_order_wins_somewhere() -> None:
    by_conflicts = [
        Buffer("a", 24, 4, 5),
        Buffer("b", 64, 1, 3),
        Buffer("c", 24, 2, 4),
        Buffer("d", 24, 4, 6),
        Buffer("e", 32, 4, 7),
    ]
    by_area = [
        Buffer("a", 64, 1, 3),
        Buffer("b", 64, 6, 6),
        Buffer("c", 24, 4, 7),
        Buffer("d", 8, 2, 5),
    ]
    for buffers, method in (
        ([Buffer("a", 4, 0, 0)], "by size"),
        (by_conflicts, "by conflicts"),
        (by_area, "by area"),
        (SANDWICH, "by size, repaired"),
    ):
        layout = place(buffers)
        assert layout.method == method
        assert layout.arena_bytes <= layout.lower_bound_bytes + 4


def test_a_damaged_layout_is_refused() -> None:
    a, b = Buffer("a", 16, 0, 1), Buffer("b", 16, 1, 2)

    def layout(*placements: Placement) -> Layout:
        return Layout(placements, 0, "by hand")

    check_layout(layout(Placement(a, 0), Placement(b, 16)))
    shrinking = Buffer("c", 16, 0, 2, sizes=(16, 8, 8))
    check_layout(layout(Placement(shrinking, 0), Placement(b, 8)))
    with pytest.raises(LayoutError, match="overlap"):
        check_layout(layout(Placement(shrinking, 0), Placement(a, 8)))
    with pytest.raises(LayoutError, match="overlap"):
        check_layout(layout(Placement(a, 0), Placement(b, 12)))
    with pytest.raises(LayoutError, match="out of place"):
        check_layout(layout(Placement(a, 2)))
    with pytest.raises(LayoutError, match="same name"):
        check_layout(layout(Placement(a, 0), Placement(a, 16)))


def test_lifetimes_reach_from_first_to_last_touch() -> None:
    x, y, z = Region("x", 4), Region("y", 5), Region("z", 6)
    assert lifetimes([[x, y], [y, z], [z, x]]) == (
        Buffer("x", 4, 0, 2),
        Buffer("y", 5, 0, 1),
        Buffer("z", 6, 1, 2),
    )


def test_memory_that_several_sizes_share_is_as_large_as_what_it_holds() -> None:
    wide, narrow, other = Region("x", 100), Region("x", 25), Region("y", 4)
    touched = [[wide], [other], [wide, narrow], [other], [narrow], [other], [narrow, wide]]
    (x, _) = lifetimes(touched)
    assert x.sizes == (100, 100, 100, 25, 25, 25, 100)
    assert x.spans == ((0, 2, 100), (3, 5, 25), (6, 6, 100))
    (late, _) = lifetimes([[other], [narrow], [wide]], inputs={"x"})[::-1]
    assert (late.first, late.sizes) == (0, (25, 25, 100))


def test_what_shrinks_makes_room_above_it() -> None:
    buffers = [Buffer("x", 100, 0, 2, sizes=(100, 25, 25)), Buffer("y", 75, 1, 2)]
    layout = place(buffers)
    assert layout.arena_bytes <= 104


def test_ends_of_the_forward_pass_stay_readable() -> None:
    x, y, late = Region("x", 4), Region("y", 4), Region("late", 4)
    made = lifetimes(
        [[late], [x], [y], [late], [late]], inputs={"x"}, outputs={"y"}, forward_steps=4
    )
    assert {buffer.name: (buffer.first, buffer.last) for buffer in made} == {
        "late": (0, 4),
        "x": (0, 1),
        "y": (2, 3),
    }


def test_what_is_kept_from_sample_to_sample_is_never_shared() -> None:
    scratch, rows = Region("scratch", 100), Region("rows", 50, kept=True)
    buffers = lifetimes([[scratch], [rows], [rows]])
    assert all(one.meets(other) for one in buffers for other in buffers)
    assert place(buffers).arena_bytes == 150


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match="two ways"):
        lifetimes([[Region("x", 4)], [Region("x", 4, align=8)]])
    with pytest.raises(ValueError, match="no step touches y"):
        lifetimes([[Region("x", 4)]], inputs={"y"})
