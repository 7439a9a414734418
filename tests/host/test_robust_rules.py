# SPDX-License-Identifier: Apache-2.0
"""Robust rules against ByzFL's answers, their definitions, and what they promise."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.device.update import MAX_EXPONENT
from fleetgrad.errors import RoundError
from fleetgrad.federation.strategies.robust import (
    Bulyan,
    CentredClipping,
    Cohort,
    GeometricMedian,
    Krum,
    Median,
    MultiKrum,
    NormBound,
    Rule,
    SignGuard,
    TrimmedMean,
    clustering,
)
from fleetgrad.federation.strategies.robust import cohort as cohorts
from fleetgrad.federation.strategies.robust.krum import ranked, scores
from fleetgrad.federation.strategies.robust.nnm import mixed
from fleetgrad.federation.strategies.robust.sums import mean_of, squared_distances
from support import cohorts as oracle

asked = oracle.byzfl_answers()
CASES = list(asked.COHORTS)

COORDINATES: tuple[type[Rule], ...] = (Median, TrimmedMean, Bulyan)
RULES: tuple[Rule, ...] = (
    *(kind() for kind in COORDINATES),
    Krum(),
    MultiKrum(),
    GeometricMedian(),
    CentredClipping(),
    NormBound(),
    clustering.Clustering(),
    SignGuard(),
    TrimmedMean(mixing=True),
)


def rows(least: int, most: int, columns: int = 3) -> st.SearchStrategy[oracle.Rows]:
    row = st.lists(st.integers(-127, 127), min_size=columns, max_size=columns)
    return st.lists(row, min_size=least, max_size=most)


# --- ByzFL ---------------------------------------------------------------------------------------


def of_byzfl(size: int, attackers: int) -> Cohort:
    exponents, deltas = asked.cohort(size, attackers)
    return oracle.cohort(deltas.tolist(), exponents.tolist(), tuple(n for _, n in asked.SEGMENTS))


def like_byzfl(name: str, cohort: Cohort, attackers: int) -> np.ndarray:
    """ByzFL takes n - f - 1 neighbours in Krum, where the paper has n - f - 2, and keeps n - f."""
    order = ranked(scores(squared_distances(cohort.gram), cohort.size - attackers - 1))
    made = {
        "median": lambda: Median(attackers=attackers)(cohort),
        "trimmed-mean": lambda: TrimmedMean(attackers=attackers)(cohort),
        "krum": lambda: mean_of(cohort, order[:1]),
        "multi-krum": lambda: mean_of(cohort, order[: cohort.size - attackers]),
        "geometric-median": lambda: GeometricMedian(attackers=attackers, steps=8)(cohort),
        "centred-clipping": lambda: CentredClipping(attackers=attackers, radius=250.0)(cohort),
        "nnm-trimmed-mean": lambda: TrimmedMean(attackers=attackers, mixing=True)(cohort),
    }
    return made[name]() / 65536


NAMES = (
    "median",
    "trimmed-mean",
    "krum",
    "multi-krum",
    "geometric-median",
    "centred-clipping",
    "nnm-trimmed-mean",
)


@pytest.mark.parametrize(("size", "attackers"), CASES)
@pytest.mark.parametrize("name", NAMES)
def test_rules_give_what_byzfl_gave(name: str, size: int, attackers: int) -> None:
    with np.load(Path(__file__).parent / "byzfl_answers.npz") as archive:
        wanted = archive[f"{size}/{attackers}/{name}"]
    found = like_byzfl(name, of_byzfl(size, attackers), attackers)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.skipif(importlib.util.find_spec("byzfl") is None, reason="byzfl is not installed")
@pytest.mark.parametrize(("size", "attackers"), CASES)
def test_byzfl_still_gives_what_it_gave(size: int, attackers: int) -> None:
    live = asked.answers(size, attackers)
    with np.load(Path(__file__).parent / "byzfl_answers.npz") as archive:
        for name, answer in live.items():
            np.testing.assert_allclose(archive[f"{size}/{attackers}/{name}"], answer, rtol=1e-9)


@pytest.mark.parametrize(("size", "attackers"), CASES)
def test_mixed_rows_are_those_of_byzfl(size: int, attackers: int) -> None:
    with np.load(Path(__file__).parent / "byzfl_answers.npz") as archive:
        wanted = archive[f"{size}/{attackers}/nnm"]
    made = mixed(of_byzfl(size, attackers), attackers)
    np.testing.assert_allclose(made.block(0, made.count) / made.scale, wanted, atol=1e-9)


# --- Definitions ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(rows(1, 9))
def test_median_is_that_of_each_column(numbers: oracle.Rows) -> None:
    wanted = [oracle.units(oracle.median(column)) for column in zip(*numbers, strict=True)]
    assert Median(attackers=0)(oracle.plain(numbers)).tolist() == wanted


@settings(deadline=None)
@given(rows(5, 9), st.integers(0, 2))
def test_trimmed_mean_leaves_the_extremes_out(numbers: oracle.Rows, attackers: int) -> None:
    wanted = []
    for column in zip(*numbers, strict=True):
        kept = sorted(column)[attackers : len(column) - attackers]
        wanted.append(oracle.units(oracle.mean([[value] for value in kept])[0]))
    assert TrimmedMean(attackers=attackers)(oracle.plain(numbers)).tolist() == wanted


@settings(deadline=None)
@given(rows(7, 10), st.integers(0, 2))
def test_krum_takes_the_row_nearest_to_others(numbers: oracle.Rows, attackers: int) -> None:
    order = oracle.krum_order(numbers, len(numbers) - attackers - 2)
    found = Krum(attackers=attackers)(oracle.plain(numbers))
    assert found.tolist() == [value << 16 for value in numbers[order[0]]]
    best = [numbers[row] for row in order[: len(numbers) - attackers - 2]]
    found = MultiKrum(attackers=attackers)(oracle.plain(numbers))
    assert found.tolist() == [oracle.units(value) for value in oracle.mean(best)]


@settings(deadline=None)
@given(rows(11, 13), st.integers(0, 2))
def test_bulyan_is_that_of_the_paper(numbers: oracle.Rows, attackers: int) -> None:
    wanted = [oracle.units(value) for value in oracle.bulyan(numbers, attackers)]
    assert Bulyan(attackers=attackers)(oracle.plain(numbers)).tolist() == wanted


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(-127, 127), min_size=4, max_size=4),
            st.tuples(st.integers(0, MAX_EXPONENT["bias"]), st.integers(0, MAX_EXPONENT["weight"])),
        ),
        min_size=5,
        max_size=7,
    )
)
def test_distances_are_exact_whatever_a_device_may_send(
    sent: list[tuple[list[int], tuple[int, int]]],
) -> None:
    made = oracle.cohort([q for q, _ in sent], [e for _, e in sent], (1, 3))
    numbers = oracle.values_of(made)
    wanted = [[oracle.squared(a, b) for b in numbers] for a in numbers]
    assert squared_distances(made.gram).tolist() == wanted
    mixture = mixed(made, 1)
    sums = mixture.block(0, mixture.count).tolist()
    assert mixture.gram.tolist() == [
        [sum(x * y for x, y in zip(a, b, strict=True)) for b in sums] for a in sums
    ]
    order = oracle.krum_order(numbers, len(numbers) - 3)
    assert Krum(attackers=1)(made).tolist() == [value << 16 for value in numbers[order[0]]]


@settings(deadline=None)
@given(rows(4, 8, columns=2))
def test_two_clusters_are_merged_by_mean_distance(numbers: oracle.Rows) -> None:
    away = [[oracle.squared(a, b) ** 0.5 for b in numbers] for a in numbers]
    groups = [[row] for row in range(len(numbers))]
    while len(groups) > 2:
        pairs = [(i, j) for j in range(len(groups)) for i in range(j)]
        gaps = {
            (i, j): np.mean([away[a][b] for a in groups[i] for b in groups[j]]) for i, j in pairs
        }
        nearest = sorted(gaps.values())
        if len(nearest) > 1 and nearest[1] - nearest[0] < 1e-9 * (1.0 + nearest[0]):
            return  # a tie: either is right
        i, j = min(gaps, key=lambda pair: gaps[pair])
        groups[i] += groups.pop(j)
    found = clustering.two_clusters(np.array(away))
    assert {frozenset(part) for part in found} == {frozenset(group) for group in groups}
    assert len(found[0]) >= len(found[1])


def test_geometric_median_has_the_smallest_sum_of_distances() -> None:
    rng = np.random.default_rng(3)
    numbers = rng.integers(-127, 128, (9, 4))
    found = GeometricMedian(attackers=4, steps=200)(oracle.plain(numbers.tolist())) / 65536

    def total(point: np.ndarray) -> float:
        return float(np.linalg.norm(numbers - point, axis=1).sum())

    for _ in range(200):
        assert total(found) <= total(found + rng.normal(0, 0.5, 4)) + 1e-3


# --- Promises ------------------------------------------------------------------------------------


def against(rule: Rule, attackers: int) -> Rule:
    return replace(rule, attackers=attackers)


def honest_and_wild(rule: Rule, attackers: int, seed: int) -> tuple[Cohort, np.ndarray]:
    """A cohort with as many attackers as the rule says it withstands; they shout the loudest."""
    rng = np.random.default_rng(seed)
    size = against(rule, attackers).least
    common = rng.integers(-60, 61, 50)
    deltas = np.clip(common + rng.integers(-20, 21, (size, 50)), -127, 127)
    exponents = np.zeros((size, 2), int)
    lying = rng.permutation(size)[:attackers]
    deltas[lying] = rng.choice([-127, 127], 50)
    exponents[lying] = [MAX_EXPONENT["bias"], MAX_EXPONENT["weight"]]
    honest = np.delete(deltas, lying, axis=0)
    return oracle.cohort(deltas.tolist(), exponents.tolist(), (10, 40)), honest


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name + "+mixing" * rule.mixing)
@pytest.mark.parametrize("attackers", [1, 2, 4])
def test_attackers_up_to_the_limit_do_not_bend_the_result(rule: Rule, attackers: int) -> None:
    for seed in range(5):
        made, honest = honest_and_wild(rule, attackers, seed)
        found = against(rule, attackers)(made) / 65536
        centre = honest.mean(axis=0)
        farthest = np.linalg.norm(honest, axis=1).max()
        # The mean of all would be 2^32 / n away.
        assert np.linalg.norm(found - centre) <= 2.0 * farthest
        if type(rule) in COORDINATES:
            assert (found <= honest.max(axis=0)).all()
            assert (found >= honest.min(axis=0)).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name + "+mixing" * rule.mixing)
def test_cohort_too_small_is_refused_by_name(rule: Rule) -> None:
    needed = against(rule, 3).least
    small = oracle.plain([[1, 2]] * (needed - 1))
    with pytest.raises(RoundError, match=rule.title) as caught:
        against(rule, 3)(small)
    assert f"{needed - 1} updates" in caught.value.what
    assert f"at least {needed}" in caught.value.expected
    assert "f = 3" in caught.value.expected
    assert np.abs(against(rule, 3)(oracle.plain([[1, 2]] * needed))).max() <= 2 << 16


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name + "+mixing" * rule.mixing)
def test_size_of_blocks_does_not_matter(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = honest_and_wild(rule, 2, 11)
    whole = against(rule, 2)(made)
    again, _ = honest_and_wild(rule, 2, 11)
    monkeypatch.setattr(cohorts, "BLOCK_BYTES", 8 * again.size * 7)
    assert [block.shape[1] for _, block in again.blocks()][:2] == [7, 7]
    np.testing.assert_array_equal(against(rule, 2)(again), whole)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name + "+mixing" * rule.mixing)
def test_updates_of_nothing_change_nothing(rule: Rule) -> None:
    zeros = oracle.plain([[0] * 6] * against(rule, 2).least)
    assert not against(rule, 2)(zeros).any()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name + "+mixing" * rule.mixing)
def test_equal_updates_are_the_result(rule: Rule) -> None:
    same = oracle.plain([[5, -127, 0, 64]] * against(rule, 2).least)
    np.testing.assert_allclose(against(rule, 2)(same) / 65536, [5, -127, 0, 64], atol=1e-3)
