# SPDX-License-Identifier: Apache-2.0
"""Samples of a device's own: the C against the paper's algorithm, and what that is good for."""

from __future__ import annotations

import ctypes
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.reservoir import Native, Reference, build

FG_OK, FG_ERR_ARGUMENT, FG_ERR_STATE, FG_ERR_UNSUPPORTED = 0, -1, -6, -8


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("reservoir"))


@given(
    capacity=st.integers(1, 20),
    classes=st.integers(1, 5),
    key=st.integers(0, 2**32 - 1),
    labels=st.lists(st.integers(0, 4), max_size=200),
)
@settings(max_examples=150, deadline=None)
def test_it_keeps_what_the_definition_says(
    library: ctypes.CDLL, capacity: int, classes: int, key: int, labels: list[int]
) -> None:
    native = Native(library, capacity=capacity, classes=classes, sample_bytes=3, key=key)
    assert native.status == FG_OK
    reference = Reference(capacity, classes, key)
    for number, label in enumerate(labels):
        sample = number.to_bytes(3, "little")
        if label < classes:
            reference.add(sample, label)
        assert native.add(sample, label) == (FG_OK if label < classes else FG_ERR_ARGUMENT)
        assert native.held == reference.held
    assert [t.seen for t in native.tallies] == reference.seen
    assert [t.full for t in native.tallies] == reference.full
    assert [t.held for t in native.tallies] == [
        sum(label == c for label, _ in reference.held) for c in range(classes)
    ]
    assert native.intact


def test_a_rare_class_is_not_pushed_out(library: ctypes.CDLL) -> None:
    dice = np.random.default_rng(5)
    native = Native(library, capacity=60, classes=4, sample_bytes=4, key=9)
    chances = [0.9, 0.07, 0.02, 0.01]
    for number, label in enumerate(dice.choice(4, 5000, p=chances)):
        assert native.add(number.to_bytes(4, "little"), int(label)) == FG_OK
    counts = Counter(label for label, _ in native.held)
    assert all(10 <= counts[label] <= 20 for label in range(4)), counts


def test_within_a_class_every_moment_counts_alike(library: ctypes.CDLL) -> None:
    kept = np.zeros(200)
    runs = 400
    for key in range(runs):
        native = Native(library, capacity=20, classes=1, sample_bytes=2, key=key * 7919)
        for number in range(200):
            assert native.add(number.to_bytes(2, "little"), 0) == FG_OK
        kept[[int.from_bytes(sample, "little") for _, sample in native.held]] += 1
    share = kept.reshape(10, 20).sum(axis=1) / (runs * 20)  # of each tenth of the time
    assert np.abs(share - 0.1).max() < 4 * np.sqrt(0.1 * 0.9 / (runs * 20))


def test_a_label_may_come_late_or_never(library: ctypes.CDLL) -> None:
    native = Native(library, capacity=8, classes=3, sample_bytes=1, key=1, waiting=3)
    tickets = [native.hold(bytes([number])) for number in range(5)]
    assert [status for status, _ in tickets] == [FG_OK] * 5
    assert native.struct.unlabeled == 2, "two had to make room"
    late, first, second, third = (ticket for _, ticket in tickets[1:])
    assert native.label(late, 0) == FG_ERR_STATE
    assert native.label(second, 2) == FG_OK
    assert native.label(second, 2) == FG_ERR_STATE, "labelled before"
    assert native.label(first, 3) == FG_ERR_ARGUMENT
    assert native.label(first, 1) == FG_OK, "the wrong label cost nothing"
    assert native.label(third, 0) == FG_OK
    assert native.held == [(2, b"\x03"), (1, b"\x02"), (0, b"\x04")]
    assert native.label(0, 0) == FG_ERR_STATE
    assert native.intact


def test_nothing_waits_where_nothing_was_set_aside(library: ctypes.CDLL) -> None:
    native = Native(library, capacity=2, classes=1, sample_bytes=1, key=1)
    assert native.hold(b"x")[0] == FG_ERR_UNSUPPORTED
    assert native.label(1, 0) == FG_ERR_STATE


@pytest.mark.parametrize(
    "wrong", [{"capacity": 0}, {"capacity": 65536}, {"classes": 257}, {"sample_bytes": 0}]
)
def test_a_config_that_contradicts_itself_is_refused(
    library: ctypes.CDLL, wrong: dict[str, int]
) -> None:
    config = {"capacity": 4, "classes": 2, "sample_bytes": 1, "key": 0} | wrong
    assert Native(library, **config).status == FG_ERR_ARGUMENT
