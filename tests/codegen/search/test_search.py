# SPDX-License-Identifier: Apache-2.0
"""The search as a whole, on models whose gains are known."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import pytest

from fleetgrad_codegen.errors import BudgetError, SchemeError
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer, read_scheme
from fleetgrad_codegen.search import (
    Choice,
    Found,
    Limits,
    Origin,
    Score,
    Space,
    flat_rates,
    scheme_toml,
    search,
    search_space,
)
from fleetgrad_codegen.search.costs import planned_cost
from fleetgrad_codegen.search.rank import rank_correlation
from support.deep_models import DEEP

NO_LIMIT = Limits(2**30, 2**30)
ORIGIN = Origin("a_board", "0" * 64, 600, 300, 1, 0.01, 0, 2)


@cache
def space_of(name: str, classes: int | None = 3) -> Space:
    model = DEEP[name](np.random.default_rng(3))
    last = LastLayer(classes=classes)
    return search_space(model, name, loss=Loss.SOFTMAX_CROSS_ENTROPY, last=last)


@dataclass
class Known:
    """Scores from gains that are known: those of biases, and of each layer's weights.

    Attributes:
        space: What is chosen from.
        spread: Of noise by seed.
        bend: How fast gains level off.
    """

    space: Space
    spread: float = 0.0
    bend: float = 0.0
    asked: int = 0

    def gain(self, choice: Choice) -> float:
        total = 0.5 + 0.05 * choice.layers
        for op, ratio in choice.ratios:
            total += 0.3 * ((op * 7) % 5 + 1) / 5 * math.sqrt(ratio)
        return total / (1 + self.bend * total)

    def __call__(self, jobs: Sequence[tuple[Choice | None, int]]) -> list[Score]:
        self.asked += len(jobs)
        made = []
        for choice, seed in jobs:
            noise = np.random.default_rng([seed, hash(choice) % 2**32]).normal() * self.spread
            loss = math.exp(1.0 - (0.0 if choice is None else self.gain(choice) + noise))
            made.append(Score(loss, 1 / (1 + loss)))
        return made


def found_in(space: Space, limits: Limits, measure: Known | None = None) -> Found:
    return search(space, measure or Known(space), rates=flat_rates(5.0), limits=limits, heldout=300)


def everything(space: Space) -> list[Choice]:
    made = []
    for count in range(1, len(space.layers) + 1):
        start = space.biases(count)
        free = [layer for layer in space.layers[-count:] if not layer.always]
        for ratios in product(*[(0.0, *layer.ratios) for layer in free]):
            choice = start
            for layer, ratio in zip(free, ratios, strict=True):
                choice = choice.with_ratio(layer.op, ratio)
            made.append(choice)
    return made


@pytest.mark.parametrize("name", ["cnn", "turned"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("scarce", ["ram", "flash", "time"])
def test_finds_what_trying_everything_finds(name: str, share: float, scarce: str) -> None:
    space, rates = space_of(name), flat_rates(5.0)
    low, _ = planned_cost(space, space.biases(1), rates)
    high, _ = planned_cost(space, space.whole(), rates)
    between = Limits(
        int(low.ram_bytes + share * (high.ram_bytes - low.ram_bytes)),
        int(low.flash_bytes + share * (high.flash_bytes - low.flash_bytes)) + 64,
        int(low.instructions + share * (high.instructions - low.instructions)),
    )
    limits = Limits(
        between.ram_bytes if scarce == "ram" else 2**30,
        between.flash_bytes if scarce == "flash" else 2**30,
        between.instructions if scarce == "time" else None,
    )
    known = Known(space)
    found = found_in(space, limits, known)
    fitting = [c for c in everything(space) if planned_cost(space, c, rates)[0].fits(limits)]
    best = max(known.gain(choice) for choice in fitting)
    assert found.chosen.cost.fits(limits)
    slack = 0.05 if scarce == "flash" else 1e-3  # of flash, sums are on the safe side
    assert known.gain(found.chosen.choice) >= best - slack
    assert found.chosen.predicted.gain == pytest.approx(found.chosen.gain, abs=0.02)


@pytest.mark.parametrize(("name", "classes"), [*((name, 3) for name in DEEP), ("cnn", None)])
def test_never_returns_what_does_not_fit(name: str, classes: int | None) -> None:
    space = space_of(name, classes)
    low, _ = planned_cost(space, space.biases(1), flat_rates(5.0))
    for factor in (1.0, 1.5):
        limits = Limits(int(low.ram_bytes * factor), int(low.flash_bytes * factor))
        found = found_in(space, limits, Known(space, spread=0.05))
        cost, plan = planned_cost(space, found.chosen.choice, flat_rates(5.0))
        assert cost == found.chosen.cost
        assert plan.ram_bytes <= limits.ram_bytes
        assert plan.weights_flash_bytes <= limits.flash_bytes


def test_more_room_never_brings_less() -> None:
    space, known = space_of("turned"), Known(space_of("turned"))
    low, _ = planned_cost(space, space.biases(1), flat_rates(5.0))
    gains = [
        known.gain(found_in(space, Limits(int(low.ram_bytes * factor), 2**30)).chosen.choice)
        for factor in (1.0, 1.5, 3.0, 9.0)
    ]
    assert gains == sorted(gains)
    assert gains[0] < gains[-1]


def test_nothing_fits_names_the_smallest_scheme_before_anything_is_tried() -> None:
    space = space_of("cnn")
    known = Known(space)
    with pytest.raises(BudgetError) as caught:
        found_in(space, Limits(100, 2**30), known)
    smallest, _ = planned_cost(space, space.biases(1), flat_rates(5.0))
    assert f"{smallest.ram_bytes:,} bytes of RAM" in str(caught.value)
    assert "at most 100 bytes of RAM" in str(caught.value)
    assert known.asked == 0


def test_the_same_arguments_give_the_same_bytes() -> None:
    space = space_of("cnn")
    texts = {scheme_toml(found_in(space, NO_LIMIT, Fixed(space)), ORIGIN) for _ in range(2)}
    assert len(texts) == 1


class Fixed(Known):
    """Noise that does not depend on how Python hashes."""

    def __call__(self, jobs: Sequence[tuple[Choice | None, int]]) -> list[Score]:
        plain = super().__call__(jobs)
        return [
            Score(score.loss * (1 + 0.02 * math.sin(seed + 10 * len(str(choice)))), score.accuracy)
            for score, (choice, seed) in zip(plain, jobs, strict=True)
        ]


def test_between_equals_the_cheaper_one_wins() -> None:
    space = space_of("separable")

    class Flat(Known):
        def gain(self, choice: Choice) -> float:
            return 1.0

    found = found_in(space, NO_LIMIT, Flat(space))
    assert found.chosen.choice == space.biases(1)
    assert math.isnan(found.rank_correlation)


def test_gains_within_noise_buy_nothing() -> None:
    space = space_of("separable")

    class Noise(Fixed):
        def gain(self, choice: Choice) -> float:
            return 0.1 * choice.layers

    found = found_in(space, NO_LIMIT, Noise(space))
    assert found.standard_error > 0
    taken = [row for row in found.rows if row.ratio and row.op != space.layers[-1].op]
    assert len(taken) < len(space.layers) / 2


def test_what_goes_astray_is_not_chosen() -> None:
    space = space_of("cnn")

    class Astray(Known):
        def __call__(self, jobs: Sequence[tuple[Choice | None, int]]) -> list[Score]:
            plain = super().__call__(jobs)
            many = [c is not None and sum(r for _, r in c.ratios) > 1.6 for c, _ in jobs]
            lost = Score(math.inf, 0.0)
            return [lost if bad else score for bad, score in zip(many, plain, strict=True)]

    found = found_in(space, NO_LIMIT, Astray(space))
    assert math.isfinite(found.chosen.gain)
    assert found.chosen.gain > 0


def test_gains_that_level_off_are_predicted_so() -> None:
    space = space_of("separable")
    found = found_in(space, NO_LIMIT, Known(space, bend=0.4))
    for candidate in found.candidates:
        assert candidate.predicted.gain == pytest.approx(candidate.gain, abs=0.08)
        assert candidate.predicted.accuracy == pytest.approx(candidate.measured.accuracy, abs=0.03)
    assert found.rank_correlation > 0.9


def test_the_file_trains_what_was_found() -> None:
    space = space_of("separable")
    found = found_in(space, Limits(6000, 2**30))
    text = scheme_toml(found, ORIGIN)
    tree = tomllib.loads(text)
    assert [layer["op"] for layer in tree["layer"]] == [row.op for row in found.rows]
    assert tree["search"]["ram_bytes"] == found.chosen.cost.ram_bytes
    assert sum(layer["gain"] for layer in tree["layer"]) == pytest.approx(
        found.chosen.predicted.gain, abs=0.1
    )
    scheme = read_scheme(text, "found.toml", last=LastLayer(classes=3))
    own = space.scheme(found.chosen.choice)
    assert scheme.adapt(space.model, "m") == own.adapt(space.model, "m")
    assert {r.op: r.ratio for r in scheme.file_layers} == dict(found.chosen.choice.ratios)


def test_a_row_says_what_leaving_it_out_saves() -> None:
    space = space_of("separable")
    found = found_in(space, NO_LIMIT)
    choice, rates = found.chosen.choice, flat_rates(5.0)
    for place, row in enumerate(found.rows):
        if row.op == space.layers[-1].op:
            continue
        rest = Choice(choice.ratios[1:]) if place == 0 else choice.with_ratio(row.op, 0.0)
        less, _ = planned_cost(space, rest, rates)
        assert row.saves.ram_bytes == pytest.approx(
            found.chosen.cost.ram_bytes - less.ram_bytes, abs=4
        )
        assert row.saves.instructions == pytest.approx(
            found.chosen.cost.instructions - less.instructions, abs=4
        )


def test_a_file_for_another_last_layer_is_refused() -> None:
    space = space_of("separable")
    text = scheme_toml(found_in(space, NO_LIMIT), ORIGIN)
    for classes in (None, 4):
        scheme = read_scheme(text, "found.toml", last=LastLayer(classes=classes))
        with pytest.raises(SchemeError, match=r"found for scheme.classes = 3") as caught:
            scheme.adapt(space.model, "m")
        assert "found.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [("search = 1", "search is no table"), ("[search]\nclasses = -1", "search.classes")],
)
def test_a_damaged_search_table_is_explained(line: str, words: str) -> None:
    text = f'model = "{"0" * 64}"\n'
    body = "[[layer]]\nop = 1\nratio = 1\n"
    text += f"{line}\n{body}" if line[0] == "s" else f"{body}{line}\n"
    with pytest.raises(SchemeError, match=words):
        read_scheme(text, "f.toml")


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    # Ranks 1 2.5 2.5 4 and 1 2 3 4: 4.5 / sqrt(4.5 * 5).
    assert rank_correlation([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))
    assert math.isnan(rank_correlation([1, 1], [1, 2]))
    assert math.isnan(rank_correlation([1], [1]))
