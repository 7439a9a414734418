# SPDX-License-Identifier: Apache-2.0
"""What a choice is expected to bring: the sum of its rows' measured gains.

Sums overstate what many layers bring together, so they are held against a few schemes that train
all layers at once. That bends the scale, but never changes which of two sums is larger.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.search.experiments import ANCHORS, Trials, anchor
from fleetgrad_codegen.search.space import Choice, Space

_SAMPLE_SHARE = 0.5
"""Of a sample, added to both sides of an accuracy's odds: 0 and 1 have finite ones then."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of one choice.

    Attributes:
        gain: Logarithm of the held-out loss before over that after.
        loss: Held out, after training.
        accuracy: Held out, after training; None where there are no labels.
    """

    gain: float
    loss: float
    accuracy: float | None


class Predictor:
    """Gains of all choices of a space, from trials of some.

    Args:
        space: What to choose from.
        trials: Of `contributions`, at least.
        heldout: How many samples accuracies are of.
    """

    def __init__(self, space: Space, trials: Trials, heldout: int) -> None:
        count = len(space.layers)
        every = space.biases(count)
        self._before = trials.log_loss(None)
        self._layers = {
            layers: _finite(trials.gains(space.biases(layers), None))
            for layers in range(1, count + 1)
        }
        self._rows: dict[tuple[int, float], float] = {}
        noise = []
        for layer in space.layers:
            for ratio in () if layer.always else layer.ratios:
                found = trials.gains(every.with_ratio(layer.op, ratio), every)
                self._rows[layer.op, ratio] = _finite(found)
                noise.append(found)
        self.standard_error = _standard_error(noise)
        self._bend = self._fit_bend(space, trials)
        self._odds = _fit_odds(trials, heldout)

    def row(self, op: int, ratio: float) -> float:
        """Gain of training a share of a layer's weights, besides all biases; 0 if it is no larger
        than its standard error.
        """  # noqa: D205
        found = self._rows.get((op, ratio), 0.0)
        return found if found > self.standard_error else 0.0

    def biases(self, layers: int) -> float:
        """Gain of training the biases of the last layers, and a new last layer."""
        return self._layers[layers]

    def total(self, choice: Choice) -> float:
        """The plain sum."""
        return self.biases(choice.layers) + sum(self.row(op, r) for op, r in choice.ratios)

    def predict(self, choice: Choice) -> Prediction:
        """What is expected of a choice."""
        gain = float(np.interp(self.total(choice), *self._bend))
        log_loss = self._before - gain
        slope, offset = self._odds or (0.0, 0.0)
        wrong = offset + slope * log_loss
        accuracy = None if self._odds is None else 1 / (1 + math.exp(wrong))
        return Prediction(gain, math.exp(log_loss), accuracy)

    def _fit_bend(self, space: Space, trials: Trials) -> tuple[list[float], list[float]]:
        """Sums and what they really are: a line through the anchors, never falling.

        Sums up to those of biases alone are what they are: they were measured.
        """
        start = max(self._layers.values())
        low = min(0.0, *self._layers.values())
        sums, real = [low, start], [low, start]
        for choice in map(anchor(space), ANCHORS):
            total = self.total(choice)
            if total > sums[-1]:
                sums.append(total)
                real.append(max(real[-1], _finite(trials.gains(choice, None))))
        slope = 0.0 if len(sums) < 3 else (real[-1] - real[-2]) / (sums[-1] - sums[-2])
        if len(sums) == 2:  # no weights bring anything
            slope = 1.0
        beyond = sums[-1] + 1.0
        return [*sums, beyond], [*real, real[-1] + slope]


def _finite(gains: Sequence[float]) -> float:
    """Their mean; what has gone astray loses ten nats."""
    return sum(max(gain, -10.0) for gain in gains) / len(gains)


def _standard_error(groups: Sequence[Sequence[float]]) -> float:
    """Of a mean of one group, from the spread within all of them; 0 with a single seed."""
    finite = [np.array(group) for group in groups if np.isfinite(group).all() and len(group) > 1]
    freedom = sum(len(group) - 1 for group in finite)
    if not freedom:
        return 0.0
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in finite)
    return math.sqrt(squares / freedom / len(finite[0]))


def _fit_odds(trials: Trials, heldout: int) -> tuple[float, float] | None:
    """Logarithm of the odds of being wrong as a line over the logarithm of the loss."""
    points = [
        (score.log_loss, score.accuracy)
        for choice, scores in trials.scores.items()
        if choice is not None
        for score in scores
        if score.accuracy is not None and math.isfinite(score.log_loss)
    ]
    if len({log_loss for log_loss, _ in points}) < 2:
        return None
    losses = np.array([log_loss for log_loss, _ in points])
    right = np.array([accuracy for _, accuracy in points]) * heldout
    odds = np.log((heldout - right + _SAMPLE_SHARE) / (right + _SAMPLE_SHARE))
    centred = losses - losses.mean()
    slope = max(0.0, float((centred * odds).sum() / (centred**2).sum()))
    return slope, float(odds.mean() - slope * losses.mean())
