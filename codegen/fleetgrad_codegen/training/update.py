# SPDX-License-Identifier: Apache-2.0
"""One SGD step on masters and biases; mirrors ``head_update.c``."""

from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import Ints, LearningRate, Scale, shift_round
from fleetgrad_codegen.training.head import Head

MASTER_LIMIT = 127 * 256
BIAS_LIMIT = 1 << 30
WEIGHT_BITS = 16
BIAS_BITS = 8
CHANGE_LIMIT = (1 << 31) - (1 << 17)
"""Sums of clamped products, noise included, fit 32 bits."""
_PACE_BITS = 15


@dataclass(frozen=True, slots=True)
class Pace:
    """Turns a gradient in 2**-15 into a change with fractional bits: ``mantissa / 2**shift``."""

    mantissa: int
    shift: int


def pace_of(scale: Scale, rate: LearningRate, samples: int, bits: int) -> Pace:
    """The pace of one output.

    Args:
        scale: The exporter's constant.
        rate: The learning rate.
        samples: Whose gradients are summed: their mean counts.
        bits: Fractional bits of the change.
    """
    mantissa = (scale.mantissa * rate.mantissa >> 15) // samples
    surplus = max(0, mantissa.bit_length() - _PACE_BITS)
    shift = 45 - bits - scale.exponent - rate.exponent
    return Pace(mantissa >> surplus, shift - surplus)


def coefficients(gradient: Ints, pace: Pace, limit: int) -> Ints:
    """``gradient * pace``, to nearest, within ``+-limit``; a product is below 2**30."""
    if pace.shift > 30:
        return np.zeros_like(gradient)
    return shift_round(gradient * pace.mantissa, pace.shift, limit)


def shadow_of(masters: Ints) -> Ints:
    """Masters rounded to int8 weights, ties upwards."""
    return (np.clip(masters, -MASTER_LIMIT, MASTER_LIMIT) + 128) >> 8


def update(
    head: Head,
    *,
    masters: Ints,
    bias: Ints,
    centred: Ints,
    gradient: Ints,
    rate: LearningRate,
    key: int,
) -> tuple[Ints, Ints]:
    """New parameters after a step along the mean gradient of some samples.

    Args:
        head: The layer.
        masters: int16 values [outputs, inputs], within ``+-MASTER_LIMIT``.
        bias: int32 values [outputs].
        centred: int64 [samples, positions, inputs].
        gradient: int64 [samples, positions, outputs].
        rate: The learning rate.
        key: Of the step.

    Returns:
        Masters and bias, int64 of the same shapes.
    """
    samples = len(centred)
    rows = samples * head.positions
    x = centred.reshape(rows, head.inputs)
    g = gradient.reshape(rows, head.outputs)
    keys = rng.row_keys(rng.layer_key(key, head.layer), head.outputs)

    steps = np.empty((rows, head.outputs), np.int64)
    bias_steps = np.empty((rows, head.outputs), np.int64)
    for o, (weight_scale, bias_scale) in enumerate(zip(head.rate, head.bias_rate, strict=True)):
        columns = slice(o, o + 1) if len(head.rate) > 1 else slice(None)
        pace = pace_of(weight_scale, rate, samples, WEIGHT_BITS)
        steps[:, columns] = coefficients(g[:, columns], pace, CHANGE_LIMIT // (255 * rows))
        pace = pace_of(bias_scale, rate, samples, BIAS_BITS)
        bias_steps[:, columns] = coefficients(g[:, columns], pace, CHANGE_LIMIT // rows)

    # float64 is exact: the sums stay below 2**31.
    change = (steps.astype(np.float64).T @ x.astype(np.float64)).astype(np.int64)
    change = (change + rng.weight_noise(keys, head.inputs)) >> WEIGHT_BITS
    new_masters = np.clip(masters - change, -MASTER_LIMIT, MASTER_LIMIT)

    total = bias_steps.sum(axis=0)
    total = np.where(total != 0, total + rng.bias_noise(keys), 0) >> BIAS_BITS
    new_bias = np.clip(np.clip(bias, -BIAS_LIMIT, BIAS_LIMIT) - total, -BIAS_LIMIT, BIAS_LIMIT)
    return new_masters, new_bias
