# SPDX-License-Identifier: Apache-2.0
"""Gradient of CONV_2D, 1x1 included."""

from math import prod

from fleetgrad_codegen.gradient.weighted import WeightedRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.conv_2d import Conv2D
from fleetgrad_codegen.ops.window import Axis
from fleetgrad_codegen.training.convolve import Doubles, conv_errors, conv_gradient


class Conv2DRule(WeightedRule):
    """Every output channel passes errors to every input channel."""

    kind = "CONV_2D"
    channel_axis = 0
    error_kernel = "fg_conv2d_error"
    learn_kernel = "fg_conv2d_learn"

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """See `WeightedRule.axes`."""
        return Conv2D().axes(graph, op)

    def depth(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.depth`."""
        return graph.tensors[op.inputs[1]].shape[3]

    def taps(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.taps`."""
        return prod(graph.tensors[op.inputs[1]].shape[1:])

    def terms(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.terms`."""
        return self.channels(graph, op) * prod(readers(axis) for axis in self.axes(graph, op))

    def errors(self, graph: Graph, op: Op, scaled: Array, weights: Array) -> Doubles:
        """See `WeightedRule.errors`."""
        return conv_errors(scaled[0], weights, *self.axes(graph, op))[None]

    def gradient(self, graph: Graph, op: Op, errors: Array, centred: Array) -> Doubles:
        """See `WeightedRule.gradient`."""
        return self.by_channel(conv_gradient(errors[0], centred[0], *self.axes(graph, op)))

    def by_channel(self, weights: Array) -> Array:
        """See `WeightedRule.by_channel`."""
        return weights.reshape(len(weights), -1)

    def own_layout(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """See `WeightedRule.own_layout`."""
        return rows.reshape(len(rows), *shape[1:])


def readers(axis: Axis) -> int:
    """Most positions of a window that see one element."""
    return min(axis.output, -(-axis.window // axis.stride) if axis.dilation == 1 else axis.window)
