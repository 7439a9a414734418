# SPDX-License-Identifier: Apache-2.0
"""The clock: availability, drop-outs, deadlines, batteries, and the same again on every call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fleetgrad.errors import RoundError
from fleetgrad.simulate.clock import DAY_S, Clock, DeviceClass, Held, Terms, normal, uniform

FAST = DeviceClass("fast", 0.5, 1e6, 1e8, 1e-9)  # 10 ms and 1 mJ a step
SLOW = DeviceClass("slow", 0.5, 1e6, 1e6, 1e-9)  # 1 s
TERMS = Terms((FAST, SLOW), byte_joules=0.0)
STEPS = np.full(4000, 10, np.int64)


def clock(terms: Terms = TERMS, steps: np.ndarray = STEPS, seed: int = 1) -> Clock:
    return Clock(terms, steps, seed, (1000, 1000))


def held(made: Clock, rounds: int = 1, wanted: int = 200) -> list[Held]:
    return [made.hold(number, wanted) for number in range(1, rounds + 1)]


def test_random_numbers_are_functions_of_their_arguments() -> None:
    devices = np.arange(20000, dtype=np.uint32)
    found = uniform(1, 2, 3, devices)
    assert np.array_equal(found[::-1], uniform(1, 2, 3, devices[::-1]))
    assert 0 <= found.min() < 1e-3
    assert 0.999 < found.max() < 1
    assert abs(found.mean() - 0.5) < 0.01
    for other in (uniform(0, 2, 3, devices), uniform(1, 0, 3, devices), uniform(1, 2, 0, devices)):
        assert abs(np.corrcoef(found, other)[0, 1]) < 0.03
    drawn = normal(1, 2, 3, devices)
    assert abs(drawn.mean()) < 0.03
    assert abs(drawn.std() - 1) < 0.03


def test_a_round_takes_the_first_to_answer_of_more_than_it_needs() -> None:
    (one,) = held(clock())
    assert (one.selected, len(one.devices)) == (260, 200)
    assert one.devices.tolist() == sorted(set(one.devices.tolist()))
    assert sum(one.dropped.values()) == 60
    assert 0.02 < one.dropped["dropped out"] / 260 < 0.15
    assert 5 < one.seconds < 30  # half the fleet takes 10 s
    assert 0.01 * 200 < one.joules < 0.01 * 260


def test_the_same_fleet_does_the_same_again_and_another_seed_does_not() -> None:
    first, again, other = (held(clock(seed=seed), 3) for seed in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.devices, b.devices)
        assert (a.seconds, a.joules, a.dropped) == (b.seconds, b.joules, b.dropped)
    assert not np.array_equal(first[0].devices, other[0].devices)
    assert not np.array_equal(first[0].devices, first[1].devices)


def test_without_over_selection_everybody_is_awaited() -> None:
    (one,) = held(clock(replace(TERMS, over=1.0, dropout=0.1)))
    lost = one.dropped["dropped out"]
    assert (one.selected, len(one.devices)) == (200, 200 - lost)


def test_a_deadline_closes_the_round() -> None:
    (one,) = held(clock(replace(TERMS, deadline_s=2.0)))
    assert one.seconds == 2.0
    assert one.dropped["too late"] > 60  # the slow half
    whole = held(clock())[0]
    assert one.joules < whole.joules  # who is late stops at the deadline


def test_thrifty_selection_leaves_out_who_would_be_late() -> None:
    terms = replace(TERMS, deadline_s=2.0, selection="thrifty")
    (one,) = held(clock(terms))
    (blind,) = held(clock(replace(terms, selection="uniform")))
    assert len(one.devices) == 200 > len(blind.devices)
    assert one.joules / len(one.devices) < blind.joules / len(blind.devices)


def test_more_devices_are_there_at_the_best_hour() -> None:
    made = clock(steps=np.full(20000, 10, np.int64))
    counts = []
    for hour in range(24):
        made.now = hour * DAY_S / 24
        counts.append(len(made._there()))
    assert 3.0 < max(counts) / min(counts) < 5.0
    assert abs(np.mean(counts) / 20000 - 0.25) < 0.02
    assert counts.index(max(counts)) in (23, 0, 1)


def test_time_passes_until_enough_are_there() -> None:
    made = clock()
    made.now = DAY_S / 2  # the worst hour: a tenth of the fleet
    (one,) = held(made, wanted=900)
    assert one.seconds > 3600
    with pytest.raises(RoundError, match="never 4000 devices"):
        held(clock(replace(TERMS, over=1.0)), wanted=4000)


def test_empty_batteries_drop_out_and_charge_again() -> None:
    terms = replace(TERMS, battery=0.02, dropout=0.0)  # two rounds' worth
    rounds = held(clock(terms), 30)
    died = sum(one.dropped.get("battery empty", 0) for one in rounds)
    assert died > 100
    charged = held(clock(replace(terms, charge_watts=1.0)), 30)
    assert sum(one.dropped.get("battery empty", 0) for one in charged) < died / 4
    thrifty = held(clock(replace(terms, selection="thrifty", charge_watts=0.001)), 30)
    assert sum(one.dropped.get("battery empty", 0) for one in thrifty) == 0


def test_boards_too_small_and_devices_without_samples_are_never_asked() -> None:
    steps = STEPS.copy()
    steps[::2] = 0
    made = clock(replace(TERMS, classes=(replace(FAST, fits=False), SLOW)), steps)
    assert made.able == pytest.approx(1000, abs=100)
    assert made.kinds.sum() == 4000
    for one in held(made, 3, wanted=50):
        assert (one.devices % 2 == 1).all()
        assert one.seconds > 8  # none of the fast ones
