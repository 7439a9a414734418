# SPDX-License-Identifier: Apache-2.0
"""The fine-tuning bench: how it searches, what it remembers, who is in which split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fleetgrad.cli.bench import tasks
from fleetgrad.cli.bench.search import CHOOSING_SEEDS, Cells, search
from fleetgrad.cli.bench.sides import Run as Training
from fleetgrad.cli.bench.sides import Score, Side
from fleetgrad.cli.bench.tasks import TASKS, Task
from support.outcome import Run

SEEDS = range(1, 6)
START = 0.008


class Hill(Side):
    """Best at a known rate; test accuracy would have chosen another one."""

    name = "hill"
    start = START

    def __init__(self, summit: float) -> None:
        self.summit = summit
        self.trained: list[Training] = []

    def train(self, runs: Sequence[Training]) -> list[Score]:
        self.trained += runs
        return [self._score(run) for run in runs]

    def _score(self, run: Training) -> Score:
        away = abs(math.log2(run.rate / self.summit))
        return Score(0.9 - 0.1 * away + run.seed / 1000, run.rate)


def cells(folder: Path, side: Side, digest: str = "d") -> Cells:
    return Cells(folder / "cells.json", digest, side)


@pytest.mark.parametrize("steps", [-4, -1, 0, 3])
def test_the_search_finds_the_summit_and_trains_every_seed_there(
    tmp_path: Path, steps: int
) -> None:
    side = Hill(START * 2.0**steps)
    found = search(cells(tmp_path, side), SEEDS)
    assert found.rate == side.summit
    assert list(found.scores) == list(SEEDS)
    assert found.mean == pytest.approx(side.summit)
    assert len(side.trained) == CHOOSING_SEEDS * len(found.tried) + len(SEEDS) - CHOOSING_SEEDS


def test_one_bad_draw_does_not_end_the_climb(tmp_path: Path) -> None:
    class Dented(Hill):
        def _score(self, run: Training) -> Score:
            made = super()._score(run)
            dent = 0.3 if run.rate == START * 2 else 0.0
            return Score(made.validation - dent, made.test)

    assert search(cells(tmp_path, Dented(START * 4)), SEEDS).rate == START * 4


def test_of_rates_that_seeds_cannot_tell_apart_the_lowest_is_taken(tmp_path: Path) -> None:
    class Flat(Hill):
        def _score(self, run: Training) -> Score:
            made = super()._score(run)
            level = run.rate in {START / 2, START, START * 2}
            return Score(0.9 + run.rate * 1e-6 + run.seed / 1000 if level else 0.5, made.test)

    found = search(cells(tmp_path, Flat(START)), SEEDS)
    assert max(found.tried, key=found.tried.__getitem__) == START * 2
    assert found.rate == START / 2


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    first = search(cells(tmp_path, Hill(START)), SEEDS)
    other = Hill(START)
    assert search(cells(tmp_path, other), SEEDS) == first
    assert other.trained == []
    search(cells(tmp_path, other, "of another model"), SEEDS)
    assert other.trained


def test_a_search_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    class Killed(Hill):
        def train(self, runs: Sequence[Training]) -> list[Score]:
            if len(runs) == len(SEEDS) - CHOOSING_SEEDS:
                raise KeyboardInterrupt
            return super().train(runs)

    with pytest.raises(KeyboardInterrupt):  # when every rate but no other seed is known
        search(cells(tmp_path, Killed(START)), SEEDS)
    side = Hill(START)
    assert search(cells(tmp_path, side), SEEDS).rate == START
    assert len(side.trained) == len(SEEDS) - CHOOSING_SEEDS


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_no_sample_has_two_purposes_and_every_class_is_learned(
    task: Task, shared_data: Path
) -> None:
    splits = task.read(shared_data)
    parts = (splits.pretrain, splits.train, splits.validation, splits.test)
    seen: set[bytes] = set()
    for part in parts:
        own = {sample.tobytes() for sample in part.x}
        assert not own & seen  # the data sets hold a few samples twice, but within a part
        seen |= own
    for part in parts[1:]:
        assert len(part.x) == len(part.y) > 0
        assert set(part.y.tolist()) == set(range(int(splits.test.y.max()) + 1))


def test_a_data_set_that_is_not_there_is_named(fleetgrad: Run, tmp_path: Path) -> None:
    outcome = fleetgrad("bench", "finetune", "--data", tmp_path, "--only", "hapt", "--json")
    assert outcome.code == 2
    assert "uci_hapt_windows.npz" in outcome.json["error"]["where"]


@pytest.mark.slow
def test_both_sides_learn_and_a_second_call_says_the_same(
    fleetgrad: Run, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MOST_TRAIN", "MOST_VALIDATION", "MOST_TEST"):
        monkeypatch.setattr(tasks, name, 120)
    command = ["bench", "finetune", "--data", shared_data, "--only", "hapt", "--scheme", "sparse"]
    command += ["--seeds", 2, "--cells", tmp_path / "cells", "--fixed", "--json"]
    document = fleetgrad(*command).json
    (cell,) = document["cells"]
    for side in ("fixed", "integers", "reals"):
        assert (
            np.mean([one["test"] for one in cell[side]["scores"].values()]) > cell["before"] + 0.2
        )
    assert abs(cell["gap"]["mean"]) < 0.15
    assert fleetgrad(*command).json == document
