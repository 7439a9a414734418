# SPDX-License-Identifier: Apache-2.0
"""The best learning rate of one side, chosen on validation samples; what is known stays known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ..files import write_text
from .sides import Run, Score, Side

FACTOR: Final = 2.0
PATIENCE: Final = 2
"""Steps on each side of the best that have to be worse: one may be so by chance."""
FARTHEST: Final = 7
"""Steps from the start that a search may go."""
CHOOSING_SEEDS: Final = 3


@dataclass(frozen=True)
class Found:
    """What a side can do.

    Attributes:
        rate: Its best learning rate.
        scores: At this rate, by seed.
        tried: Mean validation accuracy by learning rate.
    """

    rate: float
    scores: dict[int, Score]
    tried: dict[float, float]

    @property
    def mean(self) -> float:
        """Mean test accuracy."""
        return sum(score.test for score in self.scores.values()) / len(self.scores)


class Cells:
    """Scores by run, kept in a file from one call of the program to the next.

    Args:
        path: The file; made where there is none.
        digest: Of all that scores depend on; a file for another one is begun anew.
        side: Trains what is not known.
    """

    def __init__(self, path: Path, digest: str, side: Side) -> None:
        self._path, self._digest, self._side = path, digest, side
        self._known: dict[Run, Score] = {}
        if path.is_file():
            document = json.loads(path.read_text("utf-8"))
            if document["digest"] == digest:
                self._known = {
                    Run(cell["rate"], cell["seed"]): Score(cell["validation"], cell["test"])
                    for cell in document["cells"]
                }

    @property
    def start(self) -> float:
        """Learning rate that a search begins at."""
        return self._side.start

    def scores(self, runs: Sequence[Run]) -> list[Score]:
        """Scores of some runs; trains those that are not known, and writes them down."""
        new = [run for run in runs if run not in self._known]
        if new:
            self._known.update(zip(new, self._side.train(new), strict=True))
            cells = [asdict(run) | asdict(score) for run, score in self._known.items()]
            write_text(
                self._path, json.dumps({"digest": self._digest, "cells": cells}, indent=1) + "\n"
            )
        return [self._known[run] for run in runs]


def search(
    cells: Cells, seeds: Sequence[int], advance: Callable[[str], None] = lambda _: None
) -> Found:
    """Climbs to the best learning rate by three seeds, then trains the others at the one chosen.

    That is the lowest whose validation accuracy is within one standard error of the best (the rule
    of Breiman et al., Classification and Regression Trees, 1984): between rates that three seeds
    cannot tell apart, chance would decide, and the highest of them does worst on other people.

    Args:
        cells: Scores.
        seeds: Of the result.
        advance: Is told what was done.
    """
    choosing = seeds[:CHOOSING_SEEDS]
    start = cells.start
    tried: dict[int, float] = {}
    errors: dict[int, float] = {}

    def try_steps(steps: Sequence[int]) -> None:
        runs = [Run(_rate(start, step), seed) for step in steps for seed in choosing]
        scores = cells.scores(runs)
        for place, step in enumerate(steps):
            own = scores[place * len(choosing) : (place + 1) * len(choosing)]
            tried[step], errors[step] = _mean([score.validation for score in own])
            advance(f"{_rate(start, step):g}: {100 * tried[step]:.2f} %")

    try_steps((-1, 0, 1))
    while True:
        best = max(tried, key=lambda step: (tried[step], -step))
        near = range(max(best - PATIENCE, -FARTHEST), min(best + PATIENCE, FARTHEST) + 1)
        missing = [step for step in near if step not in tried]
        if not missing:
            break
        try_steps(missing)
    chosen = min(step for step in tried if tried[step] >= tried[best] - errors[best])
    rate = _rate(start, chosen)
    scores = cells.scores([Run(rate, seed) for seed in seeds])
    return Found(
        rate,
        dict(zip(seeds, scores, strict=True)),
        {_rate(start, step): tried[step] for step in sorted(tried)},
    )


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; 0 of a single value."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    squares = sum((one - mean) ** 2 for one in values)
    return mean, math.sqrt(squares / (len(values) - 1) / len(values))


def _rate(start: float, step: int) -> float:
    return start * FACTOR**step
