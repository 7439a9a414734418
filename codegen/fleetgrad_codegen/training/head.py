# SPDX-License-Identifier: Apache-2.0
"""The trained last layer: its constants and its accumulators; mirrors ``fg_head``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training.fixed_point import Ints, Scale, scale_of

LOGIT_UNITS = 1024
"""Fine logits are in 1/1024 of a power of two."""
ERROR_UNITS = 128
"""Fine outputs of squared error are in 1/128 of the output's unit."""
MASTER_UNITS = 256
"""Masters are in 1/256 of the int8 weight's unit."""
GRADIENT_BITS = 15
"""A gradient of 1 is 2**15."""

MOST_INPUTS = 1 << 15
"""Per position: bias plus sum of products then fits 32 bits."""
MOST_ROWS = 1 << 12
"""Positions times samples of one update: coefficients then keep at least 11 bits."""


@dataclass(frozen=True, slots=True)
class Head:
    """Constants of a trained fully connected layer or 1x1 convolution.

    Attributes:
        inputs: Per position.
        outputs: Per position.
        positions: 1 for a fully connected layer, the spatial size for a convolution.
        input_zero_point: Of the layer's int8 input.
        relu: Whether a RELU is fused into the layer.
        pooled: Whether the model's output is the mean over positions.
        loss: What is minimised.
        output_zero_point: Of the model's output; squared error compares in its quantisation.
        fine: Accumulator to the loss's unit; one scale, or one per output.
        rate: Gradient to masters, per unit of learning rate and input; likewise.
        bias_rate: Gradient to biases, per unit of learning rate; likewise.
        layer: For the random numbers, counted from 0.
        slope: Real gradient that a gradient of 2**15 stands for.
        logistic: Whether the model's output is the logistic function of what the loss sees.
    """

    inputs: int
    outputs: int
    positions: int
    input_zero_point: int
    relu: bool
    pooled: bool
    loss: Loss
    output_zero_point: int
    fine: tuple[Scale, ...]
    rate: tuple[Scale, ...]
    bias_rate: tuple[Scale, ...]
    layer: int = 0
    slope: float = 1.0
    logistic: bool = False

    @property
    def loss_outputs(self) -> int:
        """Outputs of the model that the loss sees."""
        return self.outputs if self.pooled else self.outputs * self.positions

    @property
    def classes(self) -> int:
        """Labels are below it; 0 where targets are vectors."""
        if self.loss is Loss.SOFTMAX_CROSS_ENTROPY:
            return self.outputs
        return 2 if self.loss is Loss.BINARY_CROSS_ENTROPY and self.loss_outputs == 1 else 0

    @property
    def target_bytes(self) -> int:
        """Of a target vector, one int8 per output of the model; 0 where targets are labels."""
        return 0 if self.classes else self.loss_outputs

    def accumulate(self, x: Ints, weights: Ints, bias: Ints) -> tuple[Ints, Ints]:
        """Centred inputs and accumulators of some samples.

        Args:
            x: int8 values, [samples, ...] with ``positions * inputs`` each.
            weights: int8 values [outputs, inputs].
            bias: int32 values [outputs].

        Returns:
            int64 [samples, positions, inputs] and int64 [samples, positions, outputs].
        """
        centred = np.asarray(x, np.int64).reshape(len(x), self.positions, self.inputs)
        centred = centred - self.input_zero_point
        # float64 is exact here and runs on BLAS: sums stay below 2**31.
        sums = centred.astype(np.float64) @ np.asarray(weights, np.float64).T
        return centred, sums.astype(np.int64) + np.asarray(bias, np.int64)


@dataclass(frozen=True, slots=True)
class HeadShape:
    """Geometry of a head, as `make_head` takes it; see `Head`."""

    inputs: int
    outputs: int
    positions: int = 1
    relu: bool = False
    pooled: bool = False
    logistic: bool = False


def make_head(
    shape: HeadShape,
    loss: Loss,
    *,
    input_scale: float,
    input_zero_point: int,
    weight_scales: Sequence[float],
    output_scale: float = 1.0,
    output_zero_point: int = 0,
    beta: float = 1.0,
) -> Head:
    """Computes a head's constants from the model's scales.

    Args:
        shape: Its geometry.
        loss: What is minimised; not ``Loss.NONE``.
        input_scale: Of the layer's input.
        input_zero_point: Of the layer's input.
        weight_scales: Of the weights: one, or one per output.
        output_scale: Of the model's output; for squared error only.
        output_zero_point: Likewise.
        beta: Factor that the softmax applies to its input; for cross-entropy only.

    Returns:
        The constants.
    """
    share = 1.0 / shape.positions if shape.pooled else 1.0
    values = shape.outputs if shape.pooled else shape.outputs * shape.positions
    if loss is Loss.SOFTMAX_CROSS_ENTROPY:
        unit = beta * math.log2(math.e) * LOGIT_UNITS
        slope = beta * share
    elif shape.logistic:
        unit = math.log2(math.e) * LOGIT_UNITS
        # Of squared error the gradient is 2 / values * error * p (1 - p), with p (1 - p) in 1/4.
        slope = share / values / (1 if loss is Loss.BINARY_CROSS_ENTROPY else 2)
    else:
        unit = ERROR_UNITS / output_scale
        # d(mean of squares) = 2 error / values; a gradient of 2**15 is 2**15 / 128 units.
        slope = 2.0 / values * output_scale * (1 << GRADIENT_BITS) / ERROR_UNITS * share
    accs = [input_scale * s for s in weight_scales]
    return Head(
        shape.inputs,
        shape.outputs,
        shape.positions,
        input_zero_point,
        shape.relu,
        shape.pooled,
        loss,
        output_zero_point,
        fine=tuple(scale_of(acc * unit * share) for acc in accs),
        rate=tuple(scale_of(slope * input_scale * MASTER_UNITS / s) for s in weight_scales),
        bias_rate=tuple(scale_of(slope / acc) for acc in accs),
        slope=slope,
        logistic=shape.logistic,
    )
