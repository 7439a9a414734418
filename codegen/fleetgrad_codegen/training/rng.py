# SPDX-License-Identifier: Apache-2.0
"""Random numbers that depend on where they are used and on nothing else; mirrors ``fg_rng.h``."""

from math import gcd

import numpy as np
import numpy.typing as npt

MASK = 0xFFFFFFFF
BIAS_WORD = 0x80000000
"""Word of an output's random numbers that rounds its bias; weights use words below 2**15."""


def mix32(x: int) -> int:
    """A bijection of 32-bit words with full avalanche."""
    x &= MASK
    x ^= x >> 16
    x = x * 0x7FEB352D & MASK
    x ^= x >> 15
    x = x * 0x846CA68B & MASK
    return x ^ x >> 16


def mix32_array(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """`mix32` of every element."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def round_key(seed: int, round_number: int, device_id: int) -> int:
    """The root of everything random that one device (64-bit id) does in one round."""
    low, high = device_id & MASK, device_id >> 32 & MASK
    return mix32(seed ^ mix32(round_number ^ mix32(low ^ mix32(high))))


def step_key(key: int, step: int) -> int:
    """Key of training step 0, 1, .. of the round with the given key."""
    return mix32(key + step * 0x9E3779B9)


def layer_key(key: int, layer: int) -> int:
    """Key of a trained layer, counted from 0, within the step with the given key."""
    return mix32(key ^ ((layer + 1) * 0x85EBCA6B & MASK))


def row_keys(key: int, outputs: int) -> npt.NDArray[np.uint32]:
    """Keys of a layer's outputs.

    Args:
        key: Of the layer.
        outputs: How many outputs it has.

    Returns:
        uint32 [outputs].
    """
    return mix32_array(np.uint32(key) + np.arange(outputs, dtype=np.uint32))


def weight_noise(keys: npt.NDArray[np.uint32], inputs: int) -> npt.NDArray[np.int64]:
    """Rounding noise of a weight matrix: one 32-bit word serves two neighbouring weights.

    Args:
        keys: Of the outputs, uint32 [outputs].
        inputs: Weights per output.

    Returns:
        int64 [outputs, inputs], each uniform in 0 .. 65535.
    """
    words = mix32_array(keys[:, None] + np.arange((inputs + 1) // 2, dtype=np.uint32)[None, :])
    halves = np.stack((words & np.uint32(0xFFFF), words >> np.uint32(16)), axis=2)
    return halves.reshape(len(keys), -1)[:, :inputs].astype(np.int64)


def bias_noise(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Rounding noise of the biases: int64 [outputs], each uniform in 0 .. 255."""
    return (mix32_array(keys + np.uint32(BIAS_WORD)) & np.uint32(0xFF)).astype(np.int64)


def sample_order(key: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """In which order an epoch visits its samples: each exactly once.

    Args:
        key: Of the round.
        epoch: Counted from 0.
        count: Number of samples, at least 1.

    Returns:
        Sample indices, int64 [count].
    """
    a = mix32(key ^ ((epoch + 1) * 0xC2B2AE35 & MASK))
    stride = 1 + mix32(a) % count
    while gcd(stride, count) != 1:
        stride += 1
    return (a % count + np.arange(count, dtype=np.int64) * (stride % count)) % count
