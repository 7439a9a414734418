# SPDX-License-Identifier: Apache-2.0
"""Losses in real numbers: what the integer ones are compared with."""

import numpy as np

from fleetgrad_codegen.ir import Array
from fleetgrad_codegen.program import Loss


def loss_slope(
    loss: Loss, seen: Array, targets: Array, *, beta: float = 1.0, logistic: bool = False
) -> Array:
    """Gradient of a loss by what it sees, the mean over outputs included.

    Args:
        loss: Which.
        seen: Logits, or outputs, of some samples, [samples, values].
        targets: Labels [samples], or real vectors [samples, values].
        beta: Factor that the softmax applies.
        logistic: Whether the outputs are the logistic function of ``seen``.

    Returns:
        [samples, values].
    """
    if loss is Loss.SOFTMAX_CROSS_ENTROPY:
        logits = beta * seen
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope = powers / powers.sum(axis=1, keepdims=True)
        slope[np.arange(len(slope)), targets] -= 1
        scaled: Array = beta * slope
        return scaled
    wanted = np.asarray(targets, seen.dtype).reshape(seen.shape)
    if not logistic:
        plain: Array = 2 * (seen - wanted) / seen.shape[1]
        return plain
    chance = sigmoid(seen)
    error = (chance - wanted) / seen.shape[1]
    bent: Array = error
    return bent if loss is Loss.BINARY_CROSS_ENTROPY else 2 * error * chance * (1 - chance)


def predictions(loss: Loss, seen: Array) -> Array:
    """Predicted labels, from what the loss sees: [samples, values] to [samples]."""
    if loss is Loss.BINARY_CROSS_ENTROPY and seen.shape[1] == 1:
        return (seen[:, 0] >= 0).astype(np.int64)
    best: Array = seen.argmax(axis=1)
    return best


def sigmoid(x: Array) -> Array:
    """The logistic function, without overflow."""
    small = np.exp(-np.abs(x))
    made: Array = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return made
