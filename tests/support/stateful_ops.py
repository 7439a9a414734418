# SPDX-License-Identifier: Apache-2.0
"""Random models of one operator with state."""

from __future__ import annotations

import numpy as np

from support.draws import random_scale, random_size, random_zero
from support.models import ModelBuilder
from support.strategies import float32, int8s


def svdf8(rng: np.random.Generator) -> bytes:
    return svdf(rng, "int8")


def svdf16(rng: np.random.Generator) -> bytes:
    return svdf(rng, "int16")


def svdf(rng: np.random.Generator, dtype: str, headroom: float = 2.0) -> bytes:
    """Any sizes; with much headroom the state never saturates."""
    inputs, units, memory = (random_size(rng, n) for n in (20, 9, 10))
    rank = int(rng.integers(1, 4))
    filters = units * rank
    limit = np.iinfo(dtype).max
    source_scale, feature_scale = random_scale(rng), float32(np.exp(rng.uniform(-6, -3)))
    spread = 74 * 74 * np.sqrt(inputs)
    state_scale = float32(source_scale * feature_scale * spread * headroom / limit)
    time_scale = float32(1 / limit)
    made = ModelBuilder()
    source = made.tensor((1, inputs), source_scale, random_zero(rng))
    values = int8s(rng, (filters, inputs), -127)
    feature = made.tensor(values.shape, feature_scale, data=values)
    values = rng.integers(-limit, limit + 1, (filters, memory)).astype(dtype)
    if dtype == "int16":  # no more than what sums of 32 bits hold
        values = (values / (2 * np.sqrt(rank * memory))).astype(dtype)
    time = made.tensor(values.shape, time_scale, dtype=dtype, data=values)
    bias = made.tensor(
        (units,), state_scale * np.float32(time_scale), dtype="int32",
        data=rng.integers(-limit, limit, units, np.int32),
    )  # fmt: skip
    state = made.tensor(
        (1, filters * memory), state_scale, random_zero(rng) if dtype == "int8" else 0,
        dtype=dtype, variable=True,
    )  # fmt: skip
    output_scale = float32(state_scale * limit / headroom * np.sqrt(rank * memory) / 100)
    relu = bool(rng.integers(2))
    target = made.tensor((1, units), output_scale, -128 if relu else random_zero(rng))
    made.op(
        "SVDF", [source, feature, time, bias, state], [target],
        rank=rank, fusedActivationFunction=int(relu),
    )  # fmt: skip
    return made.build([source], [target])


def lstm(rng: np.random.Generator, *, coupled: bool | None = None, calm: bool = False) -> bytes:
    """Any sizes, with or without an input gate of its own and a limit of the cell.

    Neither the cell nor the output of a calm one saturates.
    """
    steps, inputs, cells = (random_size(rng, n) for n in (6, 12, 11))
    coupled = not rng.integers(4) if coupled is None else coupled
    made = ModelBuilder()
    source_scale = random_scale(rng)
    source = made.tensor((1, steps, inputs), source_scale, random_zero(rng))
    hidden_scale, hidden_zero = float32(rng.uniform(1 / 256, 1 / 64)), random_zero(rng)
    exponent = int(rng.integers(-15, -8))
    if calm:
        hidden_scale, hidden_zero, exponent = 1 / 128, 0, -11
    places = [-1] * 24
    places[0] = source
    for gate in range(1 if coupled else 0, 4):
        for start, depth, scale in ((1, inputs, source_scale), (5, cells, hidden_scale)):
            values = int8s(rng, (cells, depth), -127)
            weight_scale = float32(rng.uniform(0.5, 4) / (scale * 74 * 74 * np.sqrt(depth)))
            places[start + gate] = made.tensor(values.shape, weight_scale, data=values)
            if start == 1:
                places[12 + gate] = made.tensor(
                    (cells,), scale * np.float32(weight_scale), dtype="int32",
                    data=rng.integers(-5000, 5000, cells, np.int32),
                )  # fmt: skip
    places[18] = made.tensor((1, cells), hidden_scale, hidden_zero, variable=True)
    places[19] = made.tensor((1, cells), 2.0**exponent, 0, dtype="int16", variable=True)
    between = [made.tensor((0,), dtype="float32") for _ in range(4)]
    between.append(made.tensor((0,), hidden_scale, hidden_zero))
    target = made.tensor((1, steps, cells), hidden_scale, hidden_zero)
    made.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", places, [target], intermediates=between,
        fusedActivationFunction=4, cellClip=float(rng.choice([0.0, 0.75, 10.0])),
    )  # fmt: skip
    return made.build([source], [target])
