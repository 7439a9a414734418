# SPDX-License-Identifier: Apache-2.0
"""From sums of products to changed parameters, behind the last layer; mirrors ``learn.c``."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.training import rng
from fleetgrad_codegen.training.fixed_point import Ints, LearningRate, Scale, shift_round
from fleetgrad_codegen.training.update import (
    BIAS_BITS,
    BIAS_LIMIT,
    CHANGE_LIMIT,
    MASTER_LIMIT,
    WEIGHT_BITS,
)


@dataclass(frozen=True, slots=True)
class Rates:
    """How a layer's gradients become changes of its parameters, as ``fg_rates``.

    Attributes:
        layer: For the random numbers.
        weight: One constant, or one per output channel.
        bias: Likewise.
    """

    layer: int
    weight: tuple[Scale, ...]
    bias: tuple[Scale, ...]


def changes(
    sums: Ints, scales: tuple[Scale, ...], rate: LearningRate, exponent: int, bits: int
) -> Ints:
    """Sums in the parameters' unit, with fractional bits.

    Args:
        sums: [channels, ...], 32-bit.
        scales: One, or one per channel.
        rate: The learning rate.
        exponent: Of the errors.
        bits: Fractional bits of the result.
    """
    made = np.empty_like(sums)
    for channel, scale in enumerate(scales):
        part = slice(channel, channel + 1) if len(scales) > 1 else slice(None)
        mantissa = scale.mantissa * rate.mantissa >> 15
        shift = 30 - bits - scale.exponent - rate.exponent - exponent
        made[part] = shift_round(sums[part] * mantissa, shift, CHANGE_LIMIT)
    return made


def learn_bias(
    bias: Ints, sums: Ints, rates: Rates, *, rate: LearningRate, exponent: int, key: int
) -> Ints:
    """New biases.

    Args:
        bias: [channels].
        sums: Of the errors of each channel, [channels].
        rates: Of the layer.
        rate: The learning rate.
        exponent: Of the errors.
        key: Of the step.
    """
    keys = rng.row_keys(rng.layer_key(key, rates.layer), len(bias))
    change = changes(sums, rates.bias, rate, exponent, BIAS_BITS)
    change = np.where(change != 0, change + rng.bias_noise(keys), 0) >> BIAS_BITS
    learned: Ints = np.clip(
        np.clip(bias, -BIAS_LIMIT, BIAS_LIMIT) - change, -BIAS_LIMIT, BIAS_LIMIT
    )
    return learned


def learn_weights(
    masters: Ints, sums: Ints, rates: Rates, *, rate: LearningRate, exponent: int, key: int
) -> Ints:
    """New masters of a layer's first output channels.

    Args:
        masters: [channels, weights of a channel].
        sums: Products of errors and inputs, of the same shape.
        rates: Of the layer.
        rate: The learning rate.
        exponent: Of the errors.
        key: Of the step.
    """
    channels, count = masters.shape
    keys = rng.row_keys(rng.layer_key(key, rates.layer), channels)
    scales = rates.weight if len(rates.weight) == 1 else rates.weight[:channels]
    change = changes(sums, scales, rate, exponent, WEIGHT_BITS)
    change = (change + rng.weight_noise(keys, count)) >> WEIGHT_BITS
    learned: Ints = np.clip(masters - change, -MASTER_LIMIT, MASTER_LIMIT)
    return learned


def largest_rate(weight: Sequence[Scale], bias: Sequence[Scale]) -> float:
    """The learning rate from which on updates say nothing but the sign of a gradient.

    A gradient of 1 then moves a weight over its whole range where the input is one step from its
    zero point, or a bias over its own.

    Args:
        weight: Constants of a layer's rates, per unit of learning rate and input.
        bias: Likewise, for biases.
    """
    weights = 2 * MASTER_LIMIT / max(scale.real for scale in weight)
    return min(weights, 2 * BIAS_LIMIT / max(scale.real for scale in bias))
