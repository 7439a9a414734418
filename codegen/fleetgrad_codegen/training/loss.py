# SPDX-License-Identifier: Apache-2.0
"""Loss and gradient in integers; mirrors ``loss*.c``."""

import numpy as np

from fleetgrad_codegen.training.fixed_point import Ints, shift_round
from fleetgrad_codegen.training.head import GRADIENT_BITS, LOGIT_UNITS, Head

FINE_LIMIT = 1 << 28
INT16_MAX = 32767

POWER_TABLE = tuple(min(65535, int(2 ** (16 - j / 16) + 0.5)) for j in range(17))
"""round(2**(16 - j/16)), the first one saturated to 16 bits."""
LOG_TABLE = tuple(int(LOGIT_UNITS * np.log2(1 + j / 16) + 0.5) for j in range(17))
"""round(1024 * log2(1 + j/16))."""


def fine_outputs(head: Head, acc: Ints) -> tuple[Ints, Ints]:
    """What the loss sees of a sample, and where a gradient passes the fused activation.

    Args:
        head: The layer.
        acc: Accumulators, int64 [positions, outputs].

    Returns:
        Fine outputs, int64 [outputs] when pooled, else [positions, outputs]; and a mask of zeros
        and ones, int64 [positions, outputs].
    """
    limit = FINE_LIMIT // head.positions if head.pooled else FINE_LIMIT
    passes = (acc > 0).astype(np.int64) if head.relu else np.ones_like(acc)
    fine = np.empty_like(acc)
    for o in range(head.outputs):
        scale = head.fine[o if len(head.fine) > 1 else 0]
        fine[:, o] = shift_round(acc[:, o] * scale.mantissa, 30 - scale.exponent, limit)
    fine *= passes
    return (fine.sum(axis=0) if head.pooled else fine), passes


def power_of_two(distance: Ints) -> Ints:
    """``2**16 * 2**(-distance / 1024)`` from the table; 0 beyond 17 octaves."""
    table = np.array(POWER_TABLE, np.int64)
    octaves = distance >> 10
    return np.where(
        octaves > 16, 0, table[((distance & 1023) + 32) >> 6] >> np.minimum(octaves, 16)
    )


def log_of(value: int) -> int:
    """``1024 * log2(value)`` to within one unit, ``value >= 2**14``."""
    octave = value.bit_length() - 1
    mantissa = value >> (octave - 14) & 0x3FFF
    chord, along = mantissa >> 10, mantissa & 1023
    rise = LOG_TABLE[chord + 1] - LOG_TABLE[chord]
    return octave * LOGIT_UNITS + LOG_TABLE[chord] + ((rise * along + 512) >> 10)


def cross_entropy(head: Head, label: int, acc: Ints) -> tuple[int, Ints]:
    """Softmax cross-entropy of one sample.

    Args:
        head: The layer.
        label: The right class, below ``head.outputs``.
        acc: Accumulators, int64 [positions, outputs]; one position unless pooled.

    Returns:
        The loss in 1/1024 bit, and the gradient in 2**-15, int64 [positions, outputs].
    """
    fine, passes = fine_outputs(head, acc)
    fine = fine.reshape(-1)[: head.outputs]
    distance = fine.max() - fine
    powers = power_of_two(distance)
    total = int(powers.sum())
    slope = ((powers << GRADIENT_BITS) + (total >> 1)) // total
    wrong = np.arange(head.outputs) != label
    slope = np.where(wrong, np.minimum(slope, INT16_MAX), slope - (1 << GRADIENT_BITS))
    bits = int(distance[label]) + log_of(total)
    return max(0, bits - 16 * LOGIT_UNITS), passes * slope


def squared_error(head: Head, target: Ints, acc: Ints) -> tuple[int, Ints]:
    """Squared error of one sample.

    Args:
        head: The layer.
        target: int8 values of ``head.loss_outputs`` elements, in the model output's quantisation.
        acc: Accumulators, int64 [positions, outputs].

    Returns:
        Mean over the outputs in 1/1024 of the squared unit, and the gradient in 1/128 of the unit,
        int64 [positions, outputs].
    """
    fine, passes = fine_outputs(head, acc)
    wanted = (np.asarray(target, np.int64).reshape(fine.shape) - head.output_zero_point) * 128
    error = np.clip(fine - wanted, -INT16_MAX, INT16_MAX)
    values = head.loss_outputs
    mean = (int((error * error).sum()) + 8 * values) // (16 * values)
    return mean, passes * error
