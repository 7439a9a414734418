# SPDX-License-Identifier: Apache-2.0
"""Keys, noise and sample order: fixed vectors, and what they promise."""

from __future__ import annotations

from math import gcd

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleetgrad_codegen.training import rng

VECTORS = ["0x688990c0", "0x877cc408", "0x87aef0f", "0xcbf2ed75", "0xa19832cb"]
NOISE = [[40934, 18042, 12492], [1391, 20180, 14325]]
BIAS_NOISE = [44, 90]
ORDER = [6, 4, 2, 0, 5, 3, 1]
WORD = st.integers(0, 2**32 - 1)


def test_vectors_of_the_specification() -> None:
    key = rng.round_key(1, 2, 0x0123_4567_89AB_CDEF)
    step = rng.step_key(key, 3)
    rows = rng.row_keys(rng.layer_key(step, 0), 2)
    assert [hex(v) for v in (rng.mix32(1), key, step, *map(int, rows))] == VECTORS
    assert rng.weight_noise(rows, 3).tolist() == NOISE
    assert rng.bias_noise(rows).tolist() == BIAS_NOISE
    assert rng.sample_order(key, 0, 7).tolist() == ORDER


@given(st.lists(WORD, min_size=1, max_size=50))
def test_arrays_are_mixed_like_numbers(words: list[int]) -> None:
    mixed = rng.mix32_array(np.array(words, np.uint32))
    assert mixed.tolist() == [rng.mix32(word) for word in words]


@given(key=WORD, epoch=st.integers(0, 1000), count=st.integers(1, 2000))
def test_an_epoch_visits_every_sample_once_in_even_strides(
    key: int, epoch: int, count: int
) -> None:
    order = rng.sample_order(key, epoch, count)
    assert sorted(order) == list(range(count))
    if count > 1:
        strides = np.diff(order) % count
        assert len(set(strides.tolist())) == 1
        assert gcd(int(strides[0]), count) == 1


def test_epochs_and_devices_see_different_orders() -> None:
    orders = {
        tuple(rng.sample_order(rng.round_key(1, 1, device), epoch, 101))
        for device in range(10)
        for epoch in range(10)
    }
    assert len(orders) > 95  # of 101 * 100 possible ones


def test_noise_is_uniform_over_places_and_steps() -> None:
    keys = rng.row_keys(rng.layer_key(rng.step_key(5, 0), 0), 64)
    noise = rng.weight_noise(keys, 1001)
    assert noise.shape == (64, 1001)
    assert (noise.min(), noise.max()) >= (0, 65000)
    counts = np.bincount(noise.reshape(-1) >> 12, minlength=16)
    expected = noise.size / 16
    assert ((counts - expected) ** 2 / expected).sum() < 37.7  # chi-squared, 15 dof, p = 0.001
    left, right = noise[:, 0:1000:2].reshape(-1), noise[:, 1:1000:2].reshape(-1)
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.02
