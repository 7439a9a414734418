# SPDX-License-Identifier: Apache-2.0
"""Averaging, broadcasting and drawing, against their definitions in unbounded numbers."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.device import Update
from fleetgrad.device.update import MAX_EXPONENT
from fleetgrad.errors import RoundError
from fleetgrad.federation.aggregation import Aggregator
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import GlobalModel, Layout, from_bytes, from_vector
from fleetgrad.federation.strategies import FedAvg
from support import fedavg_oracle
from support.federation import DIGEST

SEGMENTS = (("bias", 2), ("weight", 3))
LAYOUT = Layout(DIGEST, SEGMENTS)
WIDE = (1 << 30) << 16

values = st.lists(st.integers(-WIDE, WIDE), min_size=5, max_size=5)
updates = st.lists(
    st.tuples(
        st.integers(1, 65535),
        st.tuples(st.integers(0, MAX_EXPONENT["bias"]), st.integers(0, MAX_EXPONENT["weight"])),
        st.lists(st.integers(-127, 127), min_size=5, max_size=5),
    ),
    min_size=1,
    max_size=6,
)


def model(numbers: list[int]) -> GlobalModel:
    return GlobalModel(LAYOUT, np.array(numbers, np.int64))


def update(samples: int, exponents: tuple[int, ...], deltas: list[int]) -> Update:
    return Update(1, 0, samples, 0, 0, 0, 0, exponents, np.array(deltas, np.int8), b"")


def fedavg(start: GlobalModel, arrived: dict[int, Update]) -> GlobalModel:
    folded = Aggregator(FedAvg(), LAYOUT)
    for device, part in arrived.items():
        folded.add(device, part, Facts.of(part))
    return folded.finish(start, 1).model


@settings(deadline=None)
@given(values, updates)
def test_average_is_the_weighted_mean_rounded_half_away(
    numbers: list[int], parts: list[tuple[int, tuple[int, ...], list[int]]]
) -> None:
    made = fedavg(model(numbers), {i: update(*part) for i, part in enumerate(parts)})
    assert made.values.tolist() == fedavg_oracle.average(numbers, SEGMENTS, parts)


@settings(deadline=None)
@given(values, updates, st.randoms())
def test_order_of_arrival_does_not_matter(numbers, parts, shuffler) -> None:  # type: ignore[no-untyped-def]
    arrived = {i: update(*part) for i, part in enumerate(parts)}
    items = list(arrived.items())
    shuffler.shuffle(items)
    first, second = fedavg(model(numbers), arrived), fedavg(model(numbers), dict(items))
    assert first.digest == second.digest


@settings(deadline=None)
@given(values)
def test_broadcast_rounds_half_up_and_clamps(numbers: list[int]) -> None:
    assert model(numbers).vector() == fedavg_oracle.vector(numbers, SEGMENTS)


def test_broadcast_of_a_fresh_model_is_what_it_was_made_from() -> None:
    vector = struct.pack("<2i3h", -7, 1 << 30, 127 * 256, -127 * 256, 0)
    assert from_vector(LAYOUT, vector).vector() == vector


@settings(deadline=None)
@given(values)
def test_digest_is_that_of_the_definition_and_survives_storing(numbers: list[int]) -> None:
    made = model(numbers)
    assert made.digest.hex() == fedavg_oracle.digest(DIGEST, numbers)
    assert from_bytes(LAYOUT, made.values.tobytes()).digest == made.digest
    assert made.tag == int.from_bytes(made.digest[:4], "little")


def test_values_of_a_model_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        model([0] * 5).values[0] = 1


def test_nothing_to_average_is_an_error() -> None:
    with pytest.raises(RoundError, match="no update"):
        fedavg(model([0] * 5), {})


def test_sum_that_would_leave_64_bits_is_refused_not_wrapped() -> None:
    huge = update(65535, (MAX_EXPONENT["bias"], 0), [127] * 5)
    with pytest.raises(RoundError, match="64 bits"):
        fedavg(model([0] * 5), dict.fromkeys(range(40000), huge))
