# SPDX-License-Identifier: Apache-2.0
"""Attacks against ByzFL's answers and the papers; what they send is what the protocol allows."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.device import Shape, read_update
from fleetgrad.device.update import MAX_EXPONENT
from fleetgrad.federation.attacks import (
    ATTACKS,
    Backdoor,
    FreeRider,
    InnerProduct,
    LabelFlip,
    Little,
    MinMax,
    attacked,
    decode,
    encode,
)
from fleetgrad.federation.attacks.alie import most_deviation
from fleetgrad.wire.messages import UpdateHeader, Work
from fleetgrad_codegen.training import delta
from support import cohorts

asked = cohorts.byzfl_answers()
SEGMENTS = (("bias", 2), ("weight", 3))


@pytest.mark.parametrize(("size", "attackers"), list(asked.COHORTS))
@pytest.mark.parametrize(("name", "attack"), [("ipm", InnerProduct(0.5)), ("alie", Little(1.5))])
def test_attacks_are_those_of_byzfl(name: str, attack, size: int, attackers: int) -> None:  # type: ignore[no-untyped-def]
    rows = asked.rows_of(*asked.cohort(size, attackers))
    honest, own = rows[: size - attackers], rows[size - attackers :]
    with np.load(Path(__file__).parent / "byzfl_answers.npz") as archive:
        wanted = archive[f"{size}/{attackers}/{name}"]
    made = attack(honest, own)
    assert made.shape == own.shape
    np.testing.assert_allclose(made, np.tile(wanted, (attackers, 1)), rtol=1e-12)


def test_deviations_are_those_of_the_papers_example() -> None:
    """50 workers, 24 corrupted: s = 2, 24 of 26 below: 1.43 (Baruch et al., section 3.2)."""
    assert most_deviation(50, 24) == pytest.approx(1.43, abs=0.005)


def test_min_max_is_as_far_as_the_honest_ones_and_no_farther() -> None:
    honest = np.random.default_rng(1).normal(3.0, 2.0, (7, 40))
    made = MinMax()(honest, honest[:2])
    widest = max(np.linalg.norm(a - b) for a in honest for b in honest)
    farthest = max(np.linalg.norm(made[0] - a) for a in honest)
    assert farthest == pytest.approx(widest, rel=1e-6)
    moved = made[0] - honest.mean(axis=0)
    np.testing.assert_allclose(moved / honest.std(axis=0), moved[0] / honest.std(axis=0)[0])
    assert moved[0] < 0


def test_free_riders_send_nothing_or_noise_of_a_usual_length() -> None:
    honest = np.random.default_rng(2).normal(0.0, 5.0, (6, 30))
    assert not FreeRider()(honest, honest[:1]).any()
    noise = FreeRider(seed=3)(honest, honest[:2])
    usual = np.median(np.linalg.norm(honest, axis=1))
    np.testing.assert_allclose(np.linalg.norm(noise, axis=1), usual)
    assert (noise[0] != noise[1]).any()


def test_labels_are_mirrored() -> None:
    x = np.arange(6, dtype=np.int8).reshape(3, 2)
    same, y = LabelFlip(10)(x, np.array([0, 9, 4]))
    assert same is x
    assert y.tolist() == [9, 0, 5]


def test_backdoor_marks_every_other_sample() -> None:
    x = np.zeros((4, 2, 3), np.int8)
    poisoned, y = Backdoor(target=2, width=2)(x, np.array([0, 1, 2, 3]))
    assert y.tolist() == [2, 1, 2, 3]
    assert poisoned.reshape(4, 6)[:, :2].tolist() == [[127, 127], [0, 0], [127, 127], [0, 0]]
    assert not x.any()


@settings(deadline=None)
@given(st.lists(st.integers(-(2**40), 2**40), min_size=5, max_size=5))
def test_what_is_sent_can_be_read_by_the_host(change: list[int]) -> None:
    exponents, deltas = encode(np.array(change, np.int64), SEGMENTS)
    body = bytes(exponents) + deltas.tobytes() + bytes(len(SEGMENTS))
    header = UpdateHeader(0, 1, 0, 1, 0, 0, 0, 0).pack()[4:]
    blob = zlib.crc32(header + body).to_bytes(4, "little") + header + body
    update = read_update(blob, Shape(SEGMENTS), Work.TRAIN)
    assert update.exponents == exponents
    np.testing.assert_array_equal(update.deltas, deltas)
    start = 0
    for (kind, count), exponent in zip(SEGMENTS, exponents, strict=True):
        most = 127 << MAX_EXPONENT[kind]
        wanted = np.clip(change[start : start + count], -most, most)
        stands = decode(exponents, deltas, SEGMENTS)[start : start + count]
        assert np.abs(stands - wanted).max() <= (1 << exponent)
        start += count


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**31), 2**31), min_size=2, max_size=2),
    st.lists(st.integers(-(2**16) + 1, 2**16 - 1), min_size=3, max_size=3),
)
def test_honest_changes_are_sent_as_a_device_sends_them(
    biases: list[int], weights: list[int]
) -> None:
    exponents, deltas = encode(np.array(biases + weights, np.int64), SEGMENTS)
    parts = [np.array(biases, np.int64), np.array(weights, np.int64)]
    assert exponents == tuple(delta.exponent_of(part) for part in parts)
    wanted = [delta.quantise(part, e) for part, e in zip(parts, exponents, strict=True)]
    np.testing.assert_array_equal(deltas, np.concatenate(wanted))


@pytest.mark.parametrize("name", ATTACKS)
def test_honest_devices_are_left_alone(name: str) -> None:
    rng = np.random.default_rng(8)
    updates = [((1, 2), rng.integers(-127, 128, 5).astype(np.int8)) for _ in range(6)]
    made = attacked(ATTACKS[name], updates, [1, 4], SEGMENTS)
    for row, (before, after) in enumerate(zip(updates, made, strict=True)):
        assert (after is before) == (row not in (1, 4))
        assert all(e <= MAX_EXPONENT[k] for e, (k, _) in zip(after[0], SEGMENTS, strict=True))
