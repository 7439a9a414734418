# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters: weights that differ from frozen ones by a product; mirrors ``adapter.c``.

A layer computes with ``frozen + up @ down``. The product is merged into int8 weights before each
forward pass; the gradients of both factors are those of two thin layers, one after the other, and
the layer's own gradient is never computed.
"""

import math
from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.training.errors import Errors, Ratios, bit_length
from fleetgrad_codegen.training.fixed_point import Ints, LearningRate, scale_of, shift_round
from fleetgrad_codegen.training.head import MASTER_UNITS
from fleetgrad_codegen.training.learn import Rates, learn_bias, learn_weights
from fleetgrad_codegen.training.rng import mix32_array
from fleetgrad_codegen.training.update import shadow_of

DOWN_BITS = 14
"""Elements of ``down`` are in 2**-14; those of ``up`` are masters, 1/256 of the int8 weight."""
DOWN_LAYERS = 1 << 15
"""Added to a layer's number for the random numbers of its ``down``."""
LARGEST_WEIGHT = 127
_SUM_BITS = 8
"""Dropped from sums of errors times ``up``: as many as masters have below the weight's unit."""
_INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """The factors of a layer's difference.

    Attributes:
        down: int16 values [rank, inputs], within ``+-MASTER_LIMIT``.
        up: int16 values [outputs, rank], likewise.
    """

    down: Ints
    up: Ints


@dataclass(frozen=True, slots=True)
class AdapterRates:
    """Constants of an adapter's update, as ``fg_adapter``.

    Attributes:
        rank: Of the product.
        inside_shift: From sums of inputs to what is between the factors.
        inside_limit: Largest magnitude there.
        error_bits: Of the errors there.
        ratios: Bring errors of all outputs to one unit.
        up: Rates of ``up`` and of the bias.
        down: Rates of ``down``.
    """

    rank: int
    inside_shift: int
    inside_limit: int
    error_bits: int
    ratios: Ratios
    up: Rates
    down: Rates


def adapter_rates(
    rates: Rates, ratios: Ratios, *, rank: int, inputs: int, pixels: int, input_scale: float
) -> AdapterRates:
    """The constants of an adapter.

    Args:
        rates: Of the layer, were its weights to train.
        ratios: Of the layer, for 8-bit errors; no guard.
        rank: Of the product.
        inputs: Of the layer.
        pixels: Rows of the layer.
        input_scale: Of its input.
    """
    spare = (pixels - 1).bit_length()
    inside_bits = 15 - max(0, spare - 9)
    # Rows of `down` begin with a length of 1, which bounds sums of inputs.
    shift = DOWN_BITS - math.floor(math.log2(((1 << inside_bits) - 1) / (255 * math.sqrt(inputs))))
    inside = math.ldexp(1.0, shift - DOWN_BITS)
    up = tuple(scale_of(scale.real * inside) for scale in rates.weight)
    down = Rates(rates.layer + DOWN_LAYERS, (scale_of(input_scale * (1 << DOWN_BITS)),), ())
    return AdapterRates(
        rank,
        shift,
        (1 << inside_bits) - 1,
        15 - max(0, spare - 7),
        ratios,
        Rates(rates.layer, up, rates.bias),
        down,
    )


def first_down(rank: int, inputs: int, layer: int) -> Ints:
    """Rows of length 1 whose signs are a hash of their place.

    Args:
        rank: Rows.
        inputs: Columns.
        layer: The layer's number.
    """
    places = np.arange(rank * inputs, dtype=np.uint32)
    words = mix32_array(mix32_array(places + np.uint32(1)) ^ np.uint32(layer))
    size = max(1, int((1 << DOWN_BITS) / math.sqrt(inputs) + 0.5))
    signs: Ints = np.where(words & np.uint32(1), size, -size).astype(np.int64)
    return signs.reshape(rank, inputs)


def merged(frozen: Ints, adapter: Adapter) -> Ints:
    """int8 weights [outputs, inputs]: frozen ones plus the product, to nearest, ties upwards."""
    product = adapter.up @ adapter.down
    difference = (product + (1 << (DOWN_BITS - 1))) >> DOWN_BITS
    limit = LARGEST_WEIGHT * MASTER_UNITS
    return shadow_of((frozen.astype(np.int64) * MASTER_UNITS + difference).clip(-limit, limit))


def learn_adapter(
    adapter: Adapter,
    bias: Ints,
    rows: tuple[Errors, Ints],
    rates: AdapterRates,
    *,
    rate: LearningRate,
    key: int,
) -> tuple[Adapter, Ints]:
    """One step; both factors move along gradients at where they were.

    Args:
        adapter: The factors.
        bias: [outputs].
        rows: Errors of the output, [rows, outputs], not all zero, and the input minus its zero
            point, [rows, inputs].
        rates: Constants.
        rate: The learning rate.
        key: Of the step.

    Returns:
        New factors and biases.
    """
    errors, centred = rows
    sums = centred @ adapter.down.T
    inside = shift_round(sums, rates.inside_shift, rates.inside_limit)
    scaled = rates.ratios.apply(errors.values)
    back = shift_round(scaled @ adapter.up, _SUM_BITS, _INT32_MAX)
    surplus = max(0, bit_length(back) - rates.error_bits)
    size = (np.abs(back) + ((1 << surplus) >> 1)) >> surplus
    between = np.sign(back) * np.minimum(size, (1 << rates.error_bits) - 1)

    new_bias = learn_bias(
        bias, errors.values.sum(axis=0), rates.up, rate=rate, exponent=errors.exponent, key=key
    )
    down = learn_weights(
        adapter.down,
        between.T @ centred,
        rates.down,
        rate=rate,
        exponent=errors.exponent + rates.ratios.exponent + surplus,
        key=key,
    )
    up = learn_weights(
        adapter.up, errors.values.T @ inside, rates.up, rate=rate, exponent=errors.exponent, key=key
    )
    return Adapter(down, up), new_bias


def initial_adapter(rank: int, inputs: int, outputs: int, layer: int) -> Adapter:
    """An adapter that changes nothing yet: ``up`` is zero."""
    return Adapter(first_down(rank, inputs, layer), np.zeros((outputs, rank), np.int64))
