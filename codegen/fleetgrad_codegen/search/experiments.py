# SPDX-License-Identifier: Apache-2.0
"""Which schemes are tried on proxy data, and how a trial's outcome is told.

Following the contribution analysis of Lin et al., "On-Device Training Under 256KB Memory" (NeurIPS
2022, section 3.2): biases of the last k layers for every k, and a share of one layer's weights
besides all biases. Gains are differences of the logarithm of the held-out loss: these add up, where
accuracies are noisy and level off.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fleetgrad_codegen.search.space import Choice, Space

ANCHORS: Final = (0.25, 0.5, 1.0)
"""Shares of all layers' weights that are tried together, to see how far gains add up."""
_LEAST_LOSS: Final = 1e-4
"""Nats, or squared units: smaller losses are none, and count as this."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of one trial, on held-out samples.

    Attributes:
        loss: Mean.
        accuracy: Share of samples predicted right; None where there are no labels.
    """

    loss: float
    accuracy: float | None

    @property
    def log_loss(self) -> float:
        """What gains are differences of; infinite where training has gone astray."""
        return math.log(max(self.loss, _LEAST_LOSS)) if math.isfinite(self.loss) else math.inf


Measure = Callable[[Sequence[tuple[Choice | None, int]]], Sequence[Score]]
"""Trains each choice from the model as exported, with a seed, and scores it; None: as exported.

Trials of one seed see the same samples in the same order.
"""


@dataclass(frozen=True, slots=True)
class Trials:
    """What trials gave.

    Attributes:
        seeds: How many of each.
        scores: By choice, of each seed; None: as exported.
    """

    seeds: int
    scores: Mapping[Choice | None, tuple[Score, ...]]

    def log_loss(self, choice: Choice | None) -> float:
        """Mean over the seeds."""
        return sum(score.log_loss for score in self.scores[choice]) / self.seeds

    def accuracy(self, choice: Choice | None) -> float | None:
        """Mean over the seeds; None where there are no labels."""
        found = [score.accuracy for score in self.scores[choice] if score.accuracy is not None]
        return sum(found) / len(found) if found else None

    def gains(self, choice: Choice | None, than: Choice | None) -> tuple[float, ...]:
        """By how much the logarithm of the loss is lower, seed by seed."""
        pairs = zip(self.scores[than], self.scores[choice], strict=True)
        return tuple(base.log_loss - score.log_loss for base, score in pairs)

    def joined(self, other: "Trials") -> "Trials":
        """These and others, with as many seeds."""
        return Trials(self.seeds, {**self.scores, **other.scores})


def contributions(space: Space) -> list[Choice | None]:
    """The schemes that tell each row's gain: each once."""
    count = len(space.layers)
    every = space.biases(count)
    single = [
        every.with_ratio(layer.op, ratio)
        for layer in space.layers
        if not layer.always
        for ratio in layer.ratios
    ]
    biases = [space.biases(k) for k in range(1, count + 1)]
    return list(dict.fromkeys([None, *biases, *single, *map(anchor(space), ANCHORS)]))


def anchor(space: Space) -> Callable[[float], Choice]:
    """All layers with the nearest share of weights that is no larger, or their smallest one."""

    def choose(share: float) -> Choice:
        chosen = space.biases(len(space.layers))
        for layer in space.layers:
            small = [ratio for ratio in layer.ratios if ratio <= share]
            if small or (share == ANCHORS[0] and len(layer.ratios) > 1):
                chosen = chosen.with_ratio(layer.op, small[-1] if small else layer.ratios[0])
        return chosen

    return choose


def run_trials(measure: Measure, choices: Sequence[Choice | None], seeds: Sequence[int]) -> Trials:
    """Every choice with every seed."""
    jobs = [(choice, seed) for choice in choices for seed in seeds]
    scores = measure(jobs)
    each = len(seeds)
    return Trials(
        each,
        {
            choice: tuple(scores[each * place : each * (place + 1)])
            for place, choice in enumerate(choices)
        },
    )
