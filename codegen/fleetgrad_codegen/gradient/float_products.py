# SPDX-License-Identifier: Apache-2.0
"""Products of layers with weights for many networks side by side, each with weights of its own.

The first dimension of everything counts networks; it is 1 for weights that all of them share.
Weights are [networks, taps, channels], taps in the order of `WeightedRule.by_channel`.
"""

from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.gradient.tape import weighted_rule
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops.window import Axis
from fleetgrad_codegen.training.float_forward import Floats


@dataclass(frozen=True, slots=True)
class Geometry:
    """A convolution, depthwise convolution or fully connected layer.

    Attributes:
        rows: Along the height.
        columns: Along the width.
        depth: Input channels.
        channels: Output channels.
        depthwise: Whether a channel reads one input channel only.
    """

    rows: Axis
    columns: Axis
    depth: int
    channels: int
    depthwise: bool

    @classmethod
    def of(cls, graph: Graph, position: int, op: Op) -> "Geometry":
        """That of an operator."""
        rule = weighted_rule(graph, position)
        rows, columns = rule.axes(graph, op)
        depthwise = op.kind == "DEPTHWISE_CONV_2D"
        return cls(rows, columns, rule.depth(graph, op), rule.channels(graph, op), depthwise)

    @property
    def is_pointwise(self) -> bool:
        """Every output position reads one input position, and every one is read."""
        one = self.rows.window == self.columns.window == 1
        return one and self.rows.stride == self.columns.stride == 1 and not self.depthwise

    def patches(self, x: Floats) -> Floats:
        """What each output position reads.

        Args:
            x: The layer's input, [networks, ...].

        Returns:
            [networks, positions, taps]; of a depthwise convolution [networks, h', w', taps,
            channels].
        """
        x = x.reshape(len(x), self.rows.size, self.columns.size, self.depth)
        if self.is_pointwise:
            return x.reshape(len(x), -1, self.depth)
        rows, columns = self.rows, self.columns
        border = (rows.before, rows.after), (columns.before, columns.after)
        padded = np.pad(x, ((0, 0), *border, (0, 0)))
        taps = [
            padded[:, rows.taps(row), columns.taps(column)]
            for row, column in np.ndindex(rows.window, columns.window)
        ]
        made = np.stack(taps, axis=3)
        if not self.depthwise:
            return made.reshape(len(x), rows.output * columns.output, -1)
        copies = self.channels // self.depth
        return made if copies == 1 else np.repeat(made, copies, axis=4)

    def forward(self, patches: Floats, weights: Floats) -> Floats:
        """Sums of products, [networks, positions, channels]."""
        if not self.depthwise:
            return patches @ weights
        made: Floats = np.einsum("nhwtc,ntc->nhwc", patches, _each(weights, len(patches)))
        return made.reshape(len(made), -1, self.channels)

    def gradient(self, patches: Floats, errors: Floats, channels: int) -> Floats:
        """Gradient of the weights of the first channels, [networks, taps, channels].

        Args:
            patches: From the forward pass.
            errors: Of the output, [networks, positions, channels].
            channels: How many of them train.
        """
        if not self.depthwise:
            return patches.transpose(0, 2, 1) @ errors[..., :channels]
        shaped = errors.reshape(patches.shape[:3] + errors.shape[2:])
        made: Floats = np.einsum("nhwtc,nhwc->ntc", patches, shaped)
        return made[..., :channels]

    def errors(self, errors: Floats, weights: Floats) -> Floats:
        """Errors of the input, [networks, h, w, depth].

        Args:
            errors: Of the output, [networks, positions, channels].
            weights: Of all channels.
        """
        rows, columns = self.rows, self.columns
        shape = (len(errors), rows.size, columns.size, self.depth)
        if self.is_pointwise:
            return (errors @ weights.transpose(0, 2, 1)).reshape(shape)
        if self.depthwise:
            shaped = errors.reshape(len(errors), rows.output, columns.output, 1, self.channels)
            spread = shaped * weights[:, None, None]
            copies = spread.reshape(*spread.shape[:4], self.depth, -1)
            spread = copies.sum(axis=5) if copies.shape[5] > 1 else copies[..., 0]
        else:
            spread = errors @ weights.transpose(0, 2, 1)
            spread = spread.reshape(len(errors), rows.output, columns.output, -1, self.depth)
        height = rows.before + rows.size + rows.after
        width = columns.before + columns.size + columns.after
        padded = np.zeros((len(errors), height, width, self.depth), np.float32)
        for tap, (row, column) in enumerate(np.ndindex(rows.window, columns.window)):
            padded[:, rows.taps(row), columns.taps(column)] += spread[:, :, :, tap]
        return padded[:, rows.before :, columns.before :][:, : rows.size, : columns.size]


def _each(weights: Floats, networks: int) -> Floats:
    return np.broadcast_to(weights, (networks, *weights.shape[1:]))
