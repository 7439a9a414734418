# SPDX-License-Identifier: Apache-2.0
"""Loss and gradient in integers, many samples at a time; mirrors ``loss*.c``."""

import numpy as np

from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training.fixed_point import Ints, shift_round
from fleetgrad_codegen.training.head import ERROR_UNITS, GRADIENT_BITS, LOGIT_UNITS, Head

FINE_LIMIT = 1 << 28
INT16_MAX = 32767

POWER_TABLE = tuple(min(65535, int(2 ** (16 - j / 16) + 0.5)) for j in range(17))
"""round(2**(16 - j/16)), the first one saturated to 16 bits."""
LOG_TABLE = tuple(int(LOGIT_UNITS * np.log2(1 + j / 16) + 0.5) for j in range(17))
"""round(1024 * log2(1 + j/16))."""


def loss_and_gradient(head: Head, targets: Ints, acc: Ints) -> tuple[Ints, Ints]:
    """The head's own loss: one of the functions below."""
    if head.loss is Loss.SOFTMAX_CROSS_ENTROPY:
        return cross_entropy(head, targets, acc)
    if head.loss is Loss.BINARY_CROSS_ENTROPY:
        return binary_cross_entropy(head, targets, acc)
    if head.logistic:
        return squared_error_of_chances(head, targets, acc)
    return squared_error(head, targets, acc)


def fine_outputs(head: Head, acc: Ints) -> tuple[Ints, Ints]:
    """What the loss sees, and where a gradient passes the fused activation.

    Args:
        head: The layer.
        acc: Accumulators, int64 [samples, positions, outputs].

    Returns:
        Fine outputs, int64 [samples, 1, outputs] when pooled, else [samples, positions, outputs];
        and a mask of zeros and ones of the shape of ``acc``.
    """
    limit = FINE_LIMIT // head.positions if head.pooled else FINE_LIMIT
    passes = (acc > 0).astype(np.int64) if head.relu else np.ones_like(acc)
    fine = np.empty_like(acc)
    for o, scale in enumerate(head.fine):
        columns = slice(o, o + 1) if len(head.fine) > 1 else slice(None)
        shift = 30 - scale.exponent
        fine[..., columns] = shift_round(acc[..., columns] * scale.mantissa, shift, limit)
    fine *= passes
    return (fine.sum(axis=1, keepdims=True) if head.pooled else fine), passes


def power_of_two(distance: Ints) -> Ints:
    """``2**16 * 2**(-distance / 1024)`` from the table; 0 beyond 17 octaves."""
    table = np.array(POWER_TABLE, np.int64)
    octaves = distance >> 10
    powers = table[((distance & 1023) + 32) >> 6] >> np.minimum(octaves, 16)
    kept: Ints = np.where(octaves > 16, 0, powers)
    return kept


def log_of(values: Ints) -> Ints:
    """``1024 * log2(values)`` to within one unit, for values within [2**14, 2**32)."""
    table = np.array(LOG_TABLE, np.int64)
    octave = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
    mantissa = values >> (octave - 14) & 0x3FFF
    chord, along = mantissa >> 10, mantissa & 1023
    rise = table[chord + 1] - table[chord]
    bits: Ints = octave * LOGIT_UNITS + table[chord] + ((rise * along + 512) >> 10)
    return bits


def cross_entropy(head: Head, labels: Ints, acc: Ints) -> tuple[Ints, Ints]:
    """Softmax cross-entropy.

    Args:
        head: The layer.
        labels: The right classes, below ``head.outputs``, [samples].
        acc: Accumulators, int64 [samples, positions, outputs]; one position unless pooled.

    Returns:
        Losses in 1/1024 bit, int64 [samples], and gradients in 2**-15, of the shape of ``acc``.
    """
    fine, passes = fine_outputs(head, acc)
    logits = fine[:, 0]
    distance = logits.max(axis=1, keepdims=True) - logits
    powers = power_of_two(distance)
    total = powers.sum(axis=1, keepdims=True)
    # Rounded, so that the probabilities' errors cancel instead of adding up to a drift.
    slope = ((powers << GRADIENT_BITS) + (total >> 1)) // total
    right = np.arange(head.outputs) == np.asarray(labels)[:, None]
    slope = np.where(right, slope - (1 << GRADIENT_BITS), np.minimum(slope, INT16_MAX))
    missed = (distance * right).sum(axis=1)
    bits = missed + log_of(total[:, 0])
    return np.maximum(bits - 16 * LOGIT_UNITS, 0), passes * slope[:, None, :]


def squared_error(head: Head, targets: Ints, acc: Ints) -> tuple[Ints, Ints]:
    """Squared error.

    Args:
        head: The layer.
        targets: int8 values in the model output's quantisation, [samples, ...] with
            ``head.loss_outputs`` each.
        acc: Accumulators, int64 [samples, positions, outputs].

    Returns:
        Means over the outputs in 1/1024 of the squared unit, int64 [samples], and gradients in
        1/128 of the unit, of the shape of ``acc``.
    """
    fine, passes = fine_outputs(head, acc)
    wanted = np.asarray(targets, np.int64).reshape(fine.shape) - head.output_zero_point
    error = np.clip(fine - wanted * ERROR_UNITS, -INT16_MAX, INT16_MAX)
    values = head.loss_outputs
    squares = (error * error).sum(axis=(1, 2))
    return (squares + 8 * values) // (16 * values), passes * error


def chances(fine: Ints) -> tuple[Ints, Ints]:
    """The logistic function of logits in 1/1024 of a power of two.

    Returns:
        Chances in 2**-15, and how improbable the other answer makes the likelier one: bits of
        1 + 2**-|logit|, in 1/1024.
    """
    small = power_of_two(np.abs(fine))
    total = (1 << 16) + small
    share = np.where(fine >= 0, 1 << 16, small)
    return ((share << GRADIENT_BITS) + (total >> 1)) // total, log_of(total) - 16 * LOGIT_UNITS


def wanted_chances(head: Head, targets: Ints) -> Ints:
    """Targets in 2**-15: of labels 0 and 1, or of int8 vectors, whose 127 counts as 1."""
    values = np.asarray(targets, np.int64)
    if head.classes:
        return values << GRADIENT_BITS
    steps = values + 128
    chance: Ints = np.where(steps == 255, 256, steps) << (GRADIENT_BITS - 8)
    return chance


def binary_cross_entropy(head: Head, targets: Ints, acc: Ints) -> tuple[Ints, Ints]:
    """Binary cross-entropy of each output.

    Args:
        head: The layer, before a LOGISTIC.
        targets: Labels 0 or 1, [samples], for one output; else int8 vectors in the model output's
            quantisation, [samples, ...] with ``head.loss_outputs`` each.
        acc: Accumulators, int64 [samples, positions, outputs].

    Returns:
        Means over the outputs in 1/1024 bit, int64 [samples], and gradients in 2**-15, of the shape
        of ``acc``.
    """
    fine, passes = fine_outputs(head, acc)
    chance, bits = chances(fine)
    wanted = wanted_chances(head, targets).reshape(fine.shape)
    # What the distance costs: all of it for the wrong answer, nothing for the right one.
    missed = np.where(fine >= 0, (1 << GRADIENT_BITS) - wanted, wanted)
    cost = bits + ((np.abs(fine) * missed + (1 << (GRADIENT_BITS - 1))) >> GRADIENT_BITS)
    values = head.loss_outputs
    slope = np.minimum(chance - wanted, INT16_MAX)
    return (cost.sum(axis=(1, 2)) + (values >> 1)) // values, passes * slope


def squared_error_of_chances(head: Head, targets: Ints, acc: Ints) -> tuple[Ints, Ints]:
    """Squared error behind a LOGISTIC.

    Args:
        head: The layer, before the LOGISTIC.
        targets: int8 values in the model output's quantisation, as for `binary_cross_entropy`.
        acc: Accumulators, int64 [samples, positions, outputs].

    Returns:
        Means over the outputs in 1/1024 of the squared unit, int64 [samples], and gradients by the
        logits in 2**-15, of the shape of ``acc``.
    """
    fine, passes = fine_outputs(head, acc)
    chance, _ = chances(fine)
    # The output's unit is 1/256: an error in 2**-15 is one in 1/128 of it.
    error = chance - wanted_chances(head, targets).reshape(fine.shape)
    steepness = (chance * ((1 << GRADIENT_BITS) - chance)) >> GRADIENT_BITS
    values = head.loss_outputs
    squares = (error * error).sum(axis=(1, 2))
    slope = np.minimum((error * steepness + (1 << 12)) >> 13, INT16_MAX)
    return (squares + 8 * values) // (16 * values), passes * slope
