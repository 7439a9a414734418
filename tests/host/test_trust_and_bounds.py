# SPDX-License-Identifier: Apache-2.0
"""FLTrust, SignGuard, bounds and mixing: what each keeps, against small definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fleetgrad.device import Update
from fleetgrad.device.update import MAX_EXPONENT
from fleetgrad.errors import ConfigError, RoundError
from fleetgrad.federation.model import Layout
from fleetgrad.federation.strategies.robust import (
    Bulyan,
    FLTrust,
    Median,
    NormBound,
    SignGuard,
    Updates,
)
from fleetgrad.federation.strategies.robust.sign_guard import mean_shift, sign_shares
from fleetgrad.federation.strategies.robust.sums import combined, ordered_sum
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
    found = FLTrust(root=2)(oracle.plain(rows.tolist())) / 65536
    np.testing.assert_allclose(found, fltrust(rows, 1), atol=1e-4)


def test_fltrust_withstands_a_majority() -> None:
    rows = random_rows(4, 10)
    honest = rows[:3].mean(axis=0)
    rows[3:] = -rows[3:]
    found = FLTrust(root=1)(oracle.plain(rows.tolist())) / 65536
    assert found @ honest > 0.9 * np.linalg.norm(found) * np.linalg.norm(honest)


def test_fltrust_without_its_root_is_refused() -> None:
    with pytest.raises(RoundError, match="trusted device"):
        FLTrust(root=3)(oracle.plain([[1, 2], [3, 4]]))


@pytest.mark.parametrize("options", [{}, {"root": 1, "mixing": True}])
def test_fltrust_without_anybody_to_trust_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="trust"):
        FLTrust(**options)


def test_fltrust_learns_nothing_from_a_root_that_learned_nothing() -> None:
    assert not FLTrust(root=1)(oracle.plain([[0, 0], [3, 4]])).any()


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
    found = SignGuard(attackers=3)(oracle.plain(rows.tolist())) / 65536
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("bound", [0.0, 90.0])
def test_norm_bound_shortens_and_averages(bound: float) -> None:
    rows = random_rows(7, 9)
    lengths = np.linalg.norm(rows, axis=1)
    limit = bound or np.sort(lengths)[4]
    wanted = (rows * np.minimum(1, limit / lengths)[:, None]).mean(axis=0)
    found = NormBound(attackers=2, bound=bound)(oracle.plain(rows.tolist())) / 65536
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def sent(exponents: tuple[int, ...], deltas: list[int]) -> Update:
    return Update(1, 0, 9, 0, 0, 0, 0, exponents, np.array(deltas, np.int8), b"")


def test_what_no_honest_device_sends_is_refused_at_the_door() -> None:
    layout = Layout(bytes(32), (("bias", 1), ("weight", 2)))
    plain = sent((6, 2), [3, -4, 0])
    assert Median().refusal(plain, layout) == ""
    assert "exponent of 6 for bias" in Median(bias_exponent=5).refusal(plain, layout)
    assert "exponent of 2 for weight" in Median(weight_exponent=1).refusal(plain, layout)
    norm = math.hypot(3 * 64, -4 * 4)
    assert Median(norm=math.ceil(norm)).refusal(plain, layout) == ""
    assert "a norm of 193, beyond 192" in Median(norm=math.floor(norm)).refusal(plain, layout)
    largest = sent((MAX_EXPONENT["bias"], MAX_EXPONENT["weight"]), [127, 127, 127])
    assert Median().refusal(largest, layout) == ""
    assert "beyond" in Median(norm=2.0**31).refusal(largest, layout)


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
    assert Bulyan(attackers=3, mixing=True).least == 15
    with pytest.raises(RoundError, match="the median"):
        Median(attackers=3, mixing=True)(oracle.plain([[1]] * 6))


def test_rows_are_read_in_pieces() -> None:
    seen = []

    def read(start: int, stop: int) -> np.ndarray:
        seen.append(stop - start)
        return np.ones((1000, stop - start), np.int8)

    made = Updates((10000,), [(0,)] * 1000, read, tuple(range(1000)))
    assert Median(attackers=0)(made).tolist() == [65536] * 10000
    assert max(seen) * 1000 * 8 <= 1 << 24
    assert sum(seen) == 10000
