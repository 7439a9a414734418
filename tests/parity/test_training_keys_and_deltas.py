# SPDX-License-Identifier: Apache-2.0
"""Random keys, sample order and update deltas are the same in C and NumPy."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetgrad_codegen.training import delta, rng
from support import train_native as native

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORD = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    made = ctypes.CDLL(str(native.build(tmp_path_factory.mktemp("train"), "-O2")))
    made.shim_round_key.restype = ctypes.c_uint32
    made.shim_step_key.restype = ctypes.c_uint32
    made.fg_delta_peak.restype = ctypes.c_uint32
    made.fg_delta_exponent.restype = ctypes.c_uint8
    made.fg_delta_value.restype = ctypes.c_int8
    return made


@RELAXED
@given(seed=WORD, number=WORD, device=st.integers(0, 2**64 - 1), step=WORD)
def test_keys_agree(library: ctypes.CDLL, seed: int, number: int, device: int, step: int) -> None:
    key = library.shim_round_key(
        ctypes.c_uint32(seed), ctypes.c_uint32(number), ctypes.c_uint64(device)
    )
    assert key == rng.round_key(seed, number, device)
    assert library.shim_step_key(ctypes.c_uint32(key), ctypes.c_uint32(step)) == rng.step_key(
        key, step
    )


@RELAXED
@given(key=WORD, epoch=st.integers(0, 65535), count=st.integers(1, 3000))
def test_the_sample_order_agrees_and_visits_each_sample_once(
    library: ctypes.CDLL, key: int, epoch: int, count: int
) -> None:
    order = rng.sample_order(key, epoch, count)
    assert sorted(order) == list(range(count))
    device = np.zeros(count, np.uint32)
    library.shim_order(
        ctypes.c_uint32(key),
        ctypes.c_uint32(epoch),
        ctypes.c_uint32(count),
        ctypes.c_void_p(device.ctypes.data),
    )
    np.testing.assert_array_equal(device, order)


@RELAXED
@given(
    wide=st.booleans(),
    spread=st.integers(0, 31),
    seed=WORD,
    count=st.integers(1, 50),
)
def test_deltas_agree(library: ctypes.CDLL, wide: bool, spread: int, seed: int, count: int) -> None:
    dice = np.random.default_rng(seed)
    limit = 1 << (spread if wide else min(spread, 14))
    dtype = np.int32 if wide else np.int16
    ahead = np.zeros(4, np.uint8)
    top = np.iinfo(dtype)
    base = dice.integers(-limit, limit, count).clip(top.min, top.max).astype(dtype)
    params = dice.integers(-limit, limit, count).clip(top.min, top.max).astype(dtype)
    memory = [np.concatenate((ahead, values.view(np.uint8))) for values in (params, base)]
    pointers = [ctypes.c_void_p(values.ctypes.data) for values in memory]
    segment = ctypes.byref(native.SegmentStruct(0 if wide else 1, 4, count))

    difference = params.astype(np.int64) - base
    exponent = delta.exponent_of(difference)
    peak = library.fg_delta_peak(segment, *pointers)
    assert peak == np.abs(difference).max()
    assert library.fg_delta_exponent(ctypes.c_uint32(peak)) == exponent
    sent = [
        library.fg_delta_value(segment, *pointers, ctypes.c_uint32(i), ctypes.c_uint8(exponent))
        for i in range(count)
    ]
    np.testing.assert_array_equal(sent, delta.quantise(difference, exponent))


@given(st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=20))
def test_a_delta_survives_to_within_half_a_step(values: list[int]) -> None:
    difference = np.array(values, np.int64)
    exponent = delta.exponent_of(difference)
    sent = delta.quantise(difference, exponent)
    error = np.abs(delta.restore(sent, exponent) - difference)
    # The very largest values would round up to 128 steps and are sent as 127.
    assert (
        error <= np.where(np.abs(sent.astype(int)) == 127, 1 << exponent, (1 << exponent) / 2)
    ).all()


def test_small_deltas_are_sent_exactly() -> None:
    difference = np.array([-127, -1, 0, 1, 127])
    assert delta.exponent_of(difference) == 0
    np.testing.assert_array_equal(delta.quantise(difference, 0), difference)
