# SPDX-License-Identifier: Apache-2.0
"""The scheme ``auto``: measures what each row brings, then finds the best rows within limits.

1. Trials on proxy data give every row's gain (`experiments`, `predict`).
2. Timelines give every row's cost (`costs`).
3. An exact search finds the best choice at several RAM limits up to the one given (`solve`).
4. These and the plain schemes are planned for good and tried with fresh seeds. The best one that
   fits is the result; all of them show how good the predictions are.
"""

from dataclasses import dataclass
from typing import Final

from fleetgrad_codegen.errors import BudgetError
from fleetgrad_codegen.search.costs import Cost, CostModel, Limits, planned_cost
from fleetgrad_codegen.search.experiments import (
    Measure,
    Score,
    Trials,
    contributions,
    run_trials,
)
from fleetgrad_codegen.search.frontier import Frontier
from fleetgrad_codegen.search.instructions import Rates
from fleetgrad_codegen.search.predict import Prediction, Predictor
from fleetgrad_codegen.search.rank import rank_correlation
from fleetgrad_codegen.search.space import Choice, Space

_FIGURES: Final = 4
"""Decimals of predicted and measured figures: more would be noise."""


@dataclass(frozen=True, slots=True)
class Row:
    """One layer of a choice.

    Attributes:
        op: Its number in the model file.
        name: Of its output.
        ratio: Share of channels whose weights train; 0 for the bias alone.
        channels: How many these are.
        of: How many it has.
        gain: Predicted: by how much the logarithm of the held-out loss falls.
        saves: What leaving the row out would save; of rows that others depend on, its weights.
    """

    op: int
    name: str
    ratio: float
    channels: int
    of: int
    gain: float
    saves: Cost


@dataclass(frozen=True, slots=True)
class Candidate:
    """A choice that was planned for good and tried.

    Attributes:
        label: ``auto``, the names of plain schemes that it equals, or both.
        choice: What trains.
        cost: As planned.
        fits: Whether it keeps to the limits.
        predicted: Before it was tried.
        measured: Mean over the fresh seeds.
        gain: Measured: by how much the logarithm of the held-out loss falls.
    """

    label: str
    choice: Choice
    cost: Cost
    fits: bool
    predicted: Prediction
    measured: Score
    gain: float


@dataclass(frozen=True, slots=True)
class Found:
    """A finished search.

    Attributes:
        space: What there was to choose from.
        limits: What the scheme had to keep to.
        chosen: The result; one of ``candidates``.
        rows: Its layers, in the model's order.
        before: Scores of the model as exported.
        candidates: Everything that was planned and tried.
        trials: All trials, those of the candidates left out.
        standard_error: Of a measured gain; gains no larger count as none.
        rank_correlation: Spearman's, of predicted and measured gains of the candidates.
        unit: Nats that gains were counted in.
    """

    space: Space
    limits: Limits
    chosen: Candidate
    rows: tuple[Row, ...]
    before: Score
    candidates: tuple[Candidate, ...]
    trials: Trials
    standard_error: float
    rank_correlation: float
    unit: float


def search(
    space: Space,
    measure: Measure,
    *,
    rates: Rates,
    limits: Limits,
    heldout: int,
    seed: int = 0,
    seeds: int = 2,
) -> Found:
    """Finds the best scheme within limits.

    Args:
        space: What to choose from.
        measure: Trains and scores choices.
        rates: Instruction costs of the board's kernels.
        limits: What the scheme has to keep to.
        heldout: How many samples a score is of.
        seed: Of the first trial; the same arguments give the same result.
        seeds: How many trials of each choice.

    Raises:
        BudgetError: Not even the smallest scheme fits.
    """
    check_smallest(space, rates, limits)
    costs = CostModel(space, rates)
    trials = run_trials(measure, contributions(space), range(seed, seed + seeds))
    predictor = Predictor(space, trials, heldout)
    frontier = Frontier(space, costs, predictor, rates)
    labelled = dict.fromkeys(frontier.best(limits), "auto")
    for label, choice in plain_schemes(space).items():
        labelled[choice] = f"{labelled[choice]}, {label}" if choice in labelled else label
    fresh = run_trials(measure, [None, *labelled], range(seed + seeds, seed + 2 * seeds))
    candidates = tuple(
        _candidate(
            choice=choice,
            label=label,
            cost=planned_cost(space, choice, rates)[0],
            limits=limits,
            predictor=predictor,
            trials=fresh,
        )
        for choice, label in labelled.items()
    )
    chosen = min(
        (candidate for candidate in candidates if candidate.fits),
        key=lambda candidate: (-candidate.gain, candidate.cost.order),
    )
    return Found(
        space=space,
        limits=limits,
        chosen=chosen,
        rows=rows_of(space, rates, predictor, chosen.choice),
        before=_mean(trials, None),
        candidates=candidates,
        trials=trials,
        standard_error=predictor.standard_error,
        rank_correlation=rank_correlation(
            [candidate.predicted.gain for candidate in candidates],
            [candidate.gain for candidate in candidates],
        ),
        unit=frontier.unit,
    )


def plain_schemes(space: Space) -> dict[str, Choice]:
    """What the schemes without a search would train."""
    count = len(space.layers)
    head = space.layers[-1]
    sparse = space.biases(count)
    for layer in space.layers:
        if layer.kind != "DEPTHWISE_CONV_2D" and not layer.always:
            half = [ratio for ratio in layer.ratios if ratio >= 0.5]
            sparse = sparse.with_ratio(layer.op, half[0])
    return {
        "last-layer": space.biases(1).with_ratio(head.op, head.ratios[-1]),
        "bias": space.biases(count),
        "sparse": sparse,
        "full": space.whole(),
    }


def check_smallest(space: Space, rates: Rates, limits: Limits) -> None:
    """Makes sure that something fits, before anything takes long.

    Raises:
        BudgetError: Nothing does; names the smallest scheme and what it takes.
    """
    smallest = space.biases(1)
    cost, _ = planned_cost(space, smallest, rates)
    if cost.fits(limits):
        return
    layer = space.layers[-1]
    what = "the new last layer" if layer.always else f"the bias of {layer.name} alone"
    time = "any" if limits.instructions is None else f"{limits.instructions:,}"
    raise BudgetError(
        f"no scheme fits: the smallest one, {what}, takes {cost.ram_bytes:,} bytes of RAM, "
        f"{cost.flash_bytes:,} of flash and about {cost.instructions:,} instructions per step",
        where=f"op {layer.op}",
        expected=f"at most {limits.ram_bytes:,} bytes of RAM, {limits.flash_bytes:,} of flash and "
        f"{time} instructions",
        hint="larger limits, a smaller model, or a larger board",
    )


def rows_of(space: Space, rates: Rates, predictor: Predictor, choice: Choice) -> tuple[Row, ...]:
    """A choice layer by layer."""
    layers = {layer.op: layer for layer in space.layers}
    whole, _ = planned_cost(space, choice, rates)
    rows = []
    for place, (op, ratio) in enumerate(choice.ratios):
        layer, depth = layers[op], choice.layers - place
        gain = predictor.row(op, ratio) + predictor.biases(depth)
        if depth > 1:
            gain -= predictor.biases(depth - 1)
        rest = choice.with_ratio(op, 0.0) if not layer.always else choice
        if place == 0 and choice.layers > 1:
            rest = Choice(choice.ratios[1:])
        less, _ = planned_cost(space, rest, rates)
        channels = max(1, int(ratio * layer.channels + 0.5)) if ratio else 0
        saves = Cost(
            whole.ram_bytes - less.ram_bytes,
            whole.flash_bytes - less.flash_bytes,
            whole.instructions - less.instructions,
        )
        of = layer.channels
        rows.append(Row(op, layer.name, ratio, channels, of, round(gain, _FIGURES), saves))
    return tuple(rows)


def _candidate(
    *, choice: Choice, label: str, cost: Cost, limits: Limits, predictor: Predictor, trials: Trials
) -> Candidate:
    made = predictor.predict(choice)
    accuracy = None if made.accuracy is None else round(made.accuracy, _FIGURES)
    return Candidate(
        label=label,
        choice=choice,
        cost=cost,
        fits=cost.fits(limits),
        predicted=Prediction(round(made.gain, _FIGURES), round(made.loss, _FIGURES), accuracy),
        measured=_mean(trials, choice),
        gain=round(trials.log_loss(None) - trials.log_loss(choice), _FIGURES),
    )


def _mean(trials: Trials, choice: Choice | None) -> Score:
    scores = trials.scores[choice]
    accuracy = trials.accuracy(choice)
    return Score(
        round(sum(score.loss for score in scores) / len(scores), _FIGURES),
        None if accuracy is None else round(accuracy, _FIGURES),
    )
