# SPDX-License-Identifier: Apache-2.0
"""The knapsack's answers against trying everything."""

from __future__ import annotations

from itertools import islice, product

import numpy as np
import pytest

from fleetgrad_codegen.search import solve
from fleetgrad_codegen.search.solve import Item, SearchLimitError, Start, selections


def problem(seed: int) -> tuple[list[Start], np.ndarray]:
    rng = np.random.default_rng(seed)
    resources = int(rng.integers(1, 6))
    starts = []
    for _ in range(int(rng.integers(1, 4))):
        groups = []
        for _ in range(int(rng.integers(0, 6))):
            low = -3 if rng.random() < 0.3 else 0
            groups.append(
                tuple(
                    Item(int(rng.integers(1, 30)), rng.integers(low, 20, resources))
                    for _ in range(int(rng.integers(1, 5)))
                )
            )
        starts.append(
            Start(int(rng.integers(0, 30)), rng.integers(0, 20, resources), tuple(groups))
        )
    return starts, rng.integers(5, 60, resources)


def everything(starts: list[Start], limits: np.ndarray) -> list[int]:
    """Gains of all selections within limits, best first."""
    gains = []
    for start in starts:
        choices = [(None, *range(len(group))) for group in start.groups]
        for picks in product(*choices):
            gain, load = start.gain, start.load
            for group, pick in zip(start.groups, picks, strict=True):
                if pick is not None:
                    gain, load = gain + group[pick].gain, load + group[pick].load
            if (load <= limits).all():
                gains.append(gain)
    return sorted(gains, reverse=True)


@pytest.mark.parametrize("seed", range(150))
def test_finds_all_selections_in_the_order_of_their_gain(seed: int) -> None:
    starts, limits = problem(seed)
    found = list(islice(selections(starts, limits), 300))
    assert [selection.gain for selection in found] == everything(starts, limits)[:300]
    for selection in found:
        start = starts[selection.start]
        load, gain = start.load, start.gain
        for group, pick in zip(start.groups, selection.items, strict=True):
            if pick is not None:
                load, gain = load + group[pick].load, gain + group[pick].gain
        assert (load == selection.load).all()
        assert (load <= limits).all()
        assert gain == selection.gain


@pytest.mark.parametrize("count", [20, 46, 60])
def test_many_layers_take_few_steps(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solve, "MOST_NODES", 20_000)
    rng = np.random.default_rng(count)
    groups = tuple(
        tuple(
            Item(
                int(20 * worth * size**0.6),
                np.array([size * wide * 10, size * wide * 7, size * wide * 50]).astype(np.int64)
                + rng.integers(0, 50, 3),
            )
            for size in (8, 16, 32, 64)
        )
        for worth, wide in zip(rng.uniform(0.1, 1, count), rng.uniform(0.3, 3, count), strict=True)
    )
    limits = np.array([250, 200, 900]) * count
    best = next(selections([Start(0, np.zeros(3, np.int64), groups)], limits))
    greedy, load = 0, np.zeros(3, np.int64)
    for item in sorted((i for g in groups for i in g[-1:]), key=lambda i: -i.gain / i.load[0]):
        if (load + item.load <= limits).all():
            greedy, load = greedy + item.gain, load + item.load
    assert best.gain > greedy


def test_gives_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solve, "MOST_NODES", 3)
    starts, limits = problem(4)
    with pytest.raises(SearchLimitError):
        list(selections(starts, limits + 100))
