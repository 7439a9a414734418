# SPDX-License-Identifier: Apache-2.0
"""FLTrust, SignGuard, bounds and mixing: what each keeps, against small definitions."""

from __future__ import annotations

import numpy as np
import pytest

from fleetgrad.errors import RoundError
from fleetgrad.federation.robust import FLTrust, Median, Mixing, NormBound, SignGuard, Updates
from fleetgrad.federation.robust.bounds import capped, within
from fleetgrad.federation.robust.sign_guard import mean_shift, sign_shares
from fleetgrad.federation.robust.sums import combined, ordered_sum
from support import cohorts as oracle


def random_rows(seed: int, count: int, columns: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 40, columns)
    return np.clip(np.rint(common + rng.normal(0, 20, (count, columns))), -127, 127).astype(int)


def fltrust(rows: np.ndarray, root: int) -> np.ndarray:
    """Algorithm 2 of the paper, with the trusted update among the others."""
    trusted = rows[root].astype(float)
    total, weight = np.zeros(rows.shape[1]), 0.0
    for row in rows.astype(float):
        cosine = row @ trusted / np.linalg.norm(row) / np.linalg.norm(trusted)
        trust = max(0.0, cosine)
        total += trust * row * np.linalg.norm(trusted) / np.linalg.norm(row)
        weight += trust
    return total / weight


@pytest.mark.parametrize("seed", range(5))
def test_fltrust_is_that_of_the_paper(seed: int) -> None:
    rows = random_rows(seed, 8)
    rows[3:6] = -rows[3:6]
    found = FLTrust(root=1)(oracle.plain(rows.tolist()), 3) / 65536
    np.testing.assert_allclose(found, fltrust(rows, 1), atol=1e-4)


def test_fltrust_withstands_a_majority() -> None:
    rows = random_rows(4, 10)
    honest = rows[:3].mean(axis=0)
    rows[3:] = -rows[3:]
    found = FLTrust(root=0)(oracle.plain(rows.tolist()), 7) / 65536
    assert found @ honest > 0.9 * np.linalg.norm(found) * np.linalg.norm(honest)


def test_fltrust_without_its_root_is_refused() -> None:
    with pytest.raises(RoundError, match="trusted device"):
        FLTrust(root=None)(oracle.plain([[1, 2], [3, 4]]), 1)


def test_fltrust_learns_nothing_from_a_root_that_learned_nothing() -> None:
    assert not FLTrust(root=0)(oracle.plain([[0, 0], [3, 4]]), 1).any()


def test_sign_shares_are_counted_over_all_parameters() -> None:
    made = oracle.cohort([[1, -2, 0, 3], [0, 0, 0, -1]], [[3, 0], [0, 9]], (1, 3))
    assert sign_shares(made).tolist() == [[0.5, 0.25, 0.25], [0.0, 0.75, 0.25]]


def test_mean_shift_finds_two_heaps() -> None:
    rng = np.random.default_rng(5)
    points = np.concatenate([rng.normal(0.0, 0.01, (12, 3)), rng.normal(0.5, 0.01, (5, 3))])
    order = rng.permutation(17)
    labels = mean_shift(points[order])
    assert labels.tolist() == [int(row >= 12) for row in order]


def test_mean_shift_of_points_that_are_mostly_one() -> None:
    points = np.array([[0.5, 0.0, 0.5]] * 6 + [[0.2, 0.3, 0.5]] * 2)
    assert mean_shift(points).tolist() == [0] * 6 + [1] * 2


def test_sign_guard_leaves_out_what_points_elsewhere() -> None:
    """Mostly positive updates; the attackers send them negated, so that signs tell."""
    rng = np.random.default_rng(6)
    rows = np.abs(random_rows(6, 12)) * rng.choice([1, 1, 1, -1], (1, 30)) + 1
    rows = np.clip(rows, -127, 127)
    liars = [2, 7, 9]
    rows[liars] = -rows[liars]
    lengths = np.linalg.norm(rows, axis=1)
    usual = np.sort(lengths)[5]
    honest = [row for row in range(12) if row not in liars]
    wanted = (rows[honest] * np.minimum(1, usual / lengths[honest])[:, None]).mean(axis=0)
    found = SignGuard()(oracle.plain(rows.tolist()), 3) / 65536
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("bound", [0.0, 90.0])
def test_norm_bound_shortens_and_averages(bound: float) -> None:
    rows = random_rows(7, 9)
    lengths = np.linalg.norm(rows, axis=1)
    limit = bound or np.sort(lengths)[4]
    wanted = (rows * np.minimum(1, limit / lengths)[:, None]).mean(axis=0)
    found = NormBound(bound)(oracle.plain(rows.tolist()), 2) / 65536
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_exponents_far_above_the_others_are_left_out() -> None:
    exponents = [(2, 1), (3, 0), (2, 2), (4, 1), (5, 1), (2, 4)]
    assert within(exponents, 2) == (0, 1, 2, 3)  # medians 2 and 1
    assert within(exponents, 3) == (0, 1, 2, 3, 4, 5)
    assert within(exponents, 3, limit=3) == (0, 1, 2)
    assert within([], 2) == ()


def test_samples_count_as_far_as_they_are_believed() -> None:
    assert [capped(n, 15) for n in (1, 15, 65535)] == [1, 15, 15]
    assert capped(65535, 0) == 65535


def test_weights_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(RoundError, match="not a number"):
        combined(oracle.plain([[1], [2]]), np.array([0.5, np.nan]))


def test_largest_updates_that_are_allowed_are_combined_exactly() -> None:
    made = oracle.cohort([[127, 127], [-127, 127]], [[25, 9], [25, 9]], (1, 1))
    found = combined(made, np.array([0.5, 0.5]))
    assert found.tolist() == [0, 127 << (9 + 16)]
    assert combined(made, np.array([1.0, 0.0])).tolist() == [127 << 41, 127 << 25]


def test_sums_are_in_the_order_of_the_terms() -> None:
    terms = np.array([1e16, 1.0, -1e16, 1.0])
    assert ordered_sum(terms) == 1.0
    assert ordered_sum(terms[::-1].copy()) == 0.0 + ((1.0 - 1e16) + 1.0) + 1e16


def test_mixing_needs_what_the_rule_behind_it_needs() -> None:
    assert Mixing(Median()).least(3) == 7
    with pytest.raises(RoundError, match="mixing with the median"):
        Mixing(Median())(oracle.plain([[1]] * 6), 3)


def test_rows_are_read_in_pieces() -> None:
    seen = []

    def read(start: int, stop: int) -> np.ndarray:
        seen.append(stop - start)
        return np.ones((1000, stop - start), np.int8)

    made = Updates((10000,), [(0,)] * 1000, read)
    assert Median()(made, 0).tolist() == [65536] * 10000
    assert max(seen) * 1000 * 8 <= 1 << 24
    assert sum(seen) == 10000
