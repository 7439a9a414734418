# SPDX-License-Identifier: Apache-2.0
"""Server optimisers against the papers' formulas, one number at a time."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.errors import RoundError
from fleetgrad.federation.strategies.server.adaptive import FedAdagrad, FedAdam, FedYogi
from fleetgrad.federation.strategies.server.moments import Moments, fixed, real
from fleetgrad.federation.strategies.server.momentum import FedAvgM
from fleetgrad.federation.strategies.server.nova import local_steps, nova_change, nova_weights
from fleetgrad.federation.strategies.server.staleness import MOST, TABLE, staleness_weight
from support.fedavg_oracle import round_half_away

RATE, BETA1, BETA2, TAU = 0.1, 0.9, 0.99, 1e-3


def reddi(kind: str, changes: list[float]) -> list[float]:
    """Algorithm 2 of Reddi et al. for one parameter that begins at 0: where it is after each."""
    x, m, v, path = 0.0, 0.0, TAU**2, []
    for delta in changes:
        m = BETA1 * m + (1 - BETA1) * delta
        if kind == "adagrad":
            v = v + delta**2
        elif kind == "adam":
            v = BETA2 * v + (1 - BETA2) * delta**2
        else:
            sign = (v > delta**2) - (v < delta**2)
            v = v - (1 - BETA2) * delta**2 * sign
        x = x + RATE * m / (math.sqrt(v) + TAU)
        path.append(x)
    return path


@pytest.mark.parametrize(
    ("kind", "rule"), [("adagrad", FedAdagrad), ("adam", FedAdam), ("yogi", FedYogi)]
)
def test_adaptive_steps_are_those_of_the_paper(kind: str, rule) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    changes = rng.normal(0.0, 0.02, (12, 5)) * 10.0 ** rng.integers(-3, 2, (12, 5))
    optimiser = rule(rate=RATE, beta1=BETA1, beta2=BETA2, tau=TAU)
    state, at = optimiser.begin(5), np.zeros(5)
    for number, change in enumerate(changes):
        state = Moments.from_bytes(state.to_bytes(), 5)  # as the store does between rounds
        state, move = optimiser.step(state, change)
        at += move
        wanted = [reddi(kind, changes[: number + 1, i].tolist())[-1] for i in range(5)]
        np.testing.assert_allclose(at, wanted, rtol=1e-12)


def test_yogi_does_not_forget_at_once_where_adam_does() -> None:
    """After one large change and then small ones, FedYogi's v falls by what it sees, no faster."""
    changes = [10.0] + [0.01] * 20
    adam_state = yogi_state = FedAdam().begin(1)
    for delta in changes:
        change = np.array([delta])
        adam_state, _ = FedAdam(rate=RATE).step(adam_state, change)
        yogi_state, _ = FedYogi(rate=RATE).step(yogi_state, change)
    assert adam_state.second[0] < 0.85
    assert yogi_state.second[0] > 0.99


def test_first_step_has_no_bias_correction() -> None:
    """Flower's FedAdam corrects biases; the paper's does not: 1/10 of the change is what moves."""
    _, move = FedAdam(rate=1.0, tau=1.0).step(FedAdam(tau=1.0).begin(1), np.array([1e-6]))
    assert move[0] == pytest.approx(0.1 * 1e-6 / (math.sqrt(0.99) + 1.0), rel=1e-9)


def test_momentum_is_that_of_the_paper() -> None:
    changes = [0.5, -0.25, 1.0, 0.0]
    state, v = FedAvgM().begin(1), 0.0
    for delta in changes:
        v = 0.9 * v + delta
        state, move = FedAvgM(rate=0.5, decay=0.9).step(state, np.array([delta]))
        assert move[0] == pytest.approx(0.5 * v)
    _, move = FedAvgM(decay=0.0).step(FedAvgM().begin(1), np.array([0.375]))
    assert move[0] == 0.375  # FedAvg


def test_integers_survive_the_way_to_real_numbers_and_back() -> None:
    units = np.array([0.00083, 0.04 / 256, 0.04 / 256])
    numbers = np.array([1 << 40, -(1 << 30) - 7, 3], np.int64)
    assert fixed(real(numbers, units), units).tolist() == numbers.tolist()


@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e30])
def test_step_out_of_bounds_is_refused(bad: float) -> None:
    with pytest.raises(RoundError, match="left all bounds"):
        fixed(np.array([bad, 0.0]), np.ones(2))


def test_steps_are_the_same_bits_everywhere() -> None:
    """Nothing but + - * / and roots in a fixed order: this digest holds on any machine."""
    rng = np.random.default_rng(2)
    numbers = rng.integers(-(1 << 40), 1 << 40, (6, 300))
    units = np.abs(rng.integers(1, 1 << 20, 300)) / float(1 << 27)
    made = hashlib.sha256()
    for optimiser in (FedAdagrad(rate=0.01), FedAdam(rate=0.01), FedYogi(rate=0.01)):
        state = optimiser.begin(300)
        for change in numbers:
            state, move = optimiser.step(state, real(change, units))
            made.update(fixed(move, units).tobytes())
    assert made.hexdigest()[:16] == "c231002bf214176c"


# --- Staleness -----------------------------------------------------------------------------------


def test_weights_by_staleness_are_those_of_fedbuff() -> None:
    assert TABLE[:5] == (256, 181, 148, 128, 114)
    for staleness, weight in enumerate(TABLE):
        assert abs(Fraction(weight, 256) - Fraction(1 / math.sqrt(1 + staleness))) <= Fraction(
            1, 512
        )
    assert len(TABLE) == MOST + 1


def test_weights_are_not_those_of_nvflare() -> None:
    """Which cites the same paper for 1 / (1 + sqrt(staleness)): 1/2 after one version."""
    assert TABLE[1] == round(256 / math.sqrt(2)) != 128
    assert TABLE[4] == round(256 / math.sqrt(5)) != round(256 / 3)


def test_what_is_too_stale_counts_for_nothing() -> None:
    assert staleness_weight(3, bound=3) == 128
    assert staleness_weight(4, bound=3) == 0
    assert staleness_weight(10**9, bound=MOST) == 0


# --- FedNova -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "epochs", "batch", "most", "steps"),
    [(10, 1, 1, 0, 10), (10, 3, 4, 0, 9), (10, 3, 4, 7, 7), (1, 1, 8, 0, 1)],
)
def test_steps_are_counted_as_devices_take_them(
    samples: int, epochs: int, batch: int, most: int, steps: int
) -> None:
    assert local_steps(samples, epochs=epochs, batch=batch, most=most) == steps


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 65535), st.integers(1, 10**6), st.integers(-(2**20), 2**20)),
        min_size=1,
        max_size=6,
    )
)
def test_nova_is_the_papers_mean(devices: list[tuple[int, int, int]]) -> None:
    weights = [nova_weights(n, t) for n, t, _ in devices]
    total = sum(w * delta for (w, _, _), (_, _, delta) in zip(weights, devices, strict=True))
    samples = sum(n for _, n, _ in weights)
    effective = Fraction(sum(nt for _, _, nt in weights), samples)
    found = nova_change(np.array([total]), samples, sum(nt for _, _, nt in weights))
    # The weights' own rounding is the only difference to equation 10.
    rounded = sum(
        Fraction(w, 1 << 20) * d for (w, _, _), (_, _, d) in zip(weights, devices, strict=True)
    )
    assert found.tolist() == [round_half_away(rounded / samples * effective * 65536)]
    exact = sum(Fraction(n * delta, t) for n, t, delta in devices)
    slack = Fraction(sum(abs(d) for _, _, d in devices), 1 << 21)
    assert abs(rounded - exact) <= slack


def test_nova_with_equal_steps_is_fedavg() -> None:
    devices = [(30, 64, 500), (10, 64, -100)]
    weights = [nova_weights(n, t) for n, t, _ in devices]
    total = sum(w * d for (w, _, _), (_, _, d) in zip(weights, devices, strict=True))
    found = nova_change(np.array([total]), 40, 40 * 64)
    assert found[0] == pytest.approx((30 * 500 - 10 * 100) / 40 * 65536, abs=64)
