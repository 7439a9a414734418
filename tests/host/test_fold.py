# SPDX-License-Identifier: Apache-2.0
"""Adding in C, in NumPy and in Python's own numbers: the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad import paths
from fleetgrad.errors import ToolError
from fleetgrad.federation.partial import Fold, numpy_fold
from fleetgrad.toolchain.compilers import find_host
from fleetgrad.toolchain.fold import CFold, build_fold, find_fold

LARGEST = (1 << 63) // 127  # of a weight times 2^exponent


@pytest.fixture(scope="module")
def c_fold() -> Fold:
    try:
        return CFold(build_fold(find_host(), paths.cache()))
    except ToolError as error:
        pytest.skip(error.what)


segments = st.lists(
    st.tuples(
        st.integers(0, 25),
        st.lists(st.integers(-127, 127), min_size=1, max_size=70),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(segments, st.one_of(st.integers(0, 1 << 20), st.integers(0, LARGEST >> 25)))
def test_all_ways_add_alike(c_fold: Fold, found: list[tuple[int, list[int]]], weight: int) -> None:
    deltas = np.array([q for _, part in found for q in part], np.int8)
    exponents = [exponent for exponent, _ in found]
    counts = tuple(len(part) for _, part in found)
    start = np.arange(len(deltas)) - 7
    exact = [q * weight << exponent for exponent, part in found for q in part]
    wanted = [a - 7 + b for a, b in enumerate(exact)]
    for fold in (c_fold, numpy_fold):
        sums = start.copy()
        fold(sums, deltas, weight, exponents, counts)
        if max(map(abs, wanted)) < 1 << 63:
            assert sums.tolist() == wanted


@pytest.mark.parametrize("scale", [(1 << 24) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, LARGEST])
def test_widths_of_products_meet_without_a_seam(c_fold: Fold, scale: int) -> None:
    deltas = np.array([127, -127, 1, -1, 0] * 13, np.int8)
    sums = np.zeros(65, np.int64)
    c_fold(sums, deltas, scale, [0], (65,))
    assert sums.tolist() == [int(q) * scale for q in deltas]


def test_deltas_of_any_stride_are_added(c_fold: Fold) -> None:
    deltas = np.arange(20, dtype=np.int8)[::2]
    sums = np.zeros(10, np.int64)
    c_fold(sums, deltas, 3, [1], (10,))
    assert sums.tolist() == [6 * int(q) for q in deltas]


def test_without_a_compiler_numpy_adds_and_the_user_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    monkeypatch.setenv("CC", "no-such-compiler")
    assert find_fold(told.append) is numpy_fold
    assert "no-such-compiler" in told[0]


def test_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="cache cannot be written"):
        build_fold(find_host(), tmp_path / "file" / "cache")
