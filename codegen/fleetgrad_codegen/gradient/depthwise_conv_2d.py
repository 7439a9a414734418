# SPDX-License-Identifier: Apache-2.0
"""Gradient of DEPTHWISE_CONV_2D."""

from math import prod

from fleetgrad_codegen.gradient.conv_2d import readers
from fleetgrad_codegen.gradient.scratch import strip_error_bytes
from fleetgrad_codegen.gradient.weighted import WeightedRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.depthwise_conv_2d import DepthwiseConv2D
from fleetgrad_codegen.ops.window import Axis
from fleetgrad_codegen.training.convolve import Doubles, depthwise_errors, depthwise_gradient


class DepthwiseConv2DRule(WeightedRule):
    """Every output channel passes errors to the one input channel that it reads."""

    kind = "DEPTHWISE_CONV_2D"
    channel_axis = 3
    error_kernel = "fg_depthwise_error"
    learn_kernel = "fg_depthwise_learn"

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """See `WeightedRule.axes`."""
        return DepthwiseConv2D().axes(graph, op)

    def depth(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.depth`."""
        return graph.tensors[op.inputs[0]].shape[3]

    def taps(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.taps`."""
        return prod(graph.tensors[op.inputs[1]].shape[1:3])

    def terms(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.terms`."""
        copies = DepthwiseConv2D().multiplier(graph, op)
        return copies * prod(readers(axis) for axis in self.axes(graph, op))

    def error_block(self, graph: Graph, op: Op) -> int:  # noqa: ARG002
        """See `WeightedRule.error_block`: rows are computed whole."""
        return 0

    def error_scratch(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.error_scratch`."""
        return strip_error_bytes(*self.axes(graph, op), self.depth(graph, op))

    def learn_scratch(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.learn_scratch`."""
        return 4 * self.taps(graph, op)

    def errors(self, graph: Graph, op: Op, scaled: Array, weights: Array) -> Doubles:
        """See `WeightedRule.errors`."""
        axes, depth = self.axes(graph, op), self.depth(graph, op)
        return depthwise_errors(scaled[0], weights[0], *axes, depth)[None]

    def gradient(self, graph: Graph, op: Op, errors: Array, centred: Array) -> Doubles:
        """See `WeightedRule.gradient`."""
        made = depthwise_gradient(errors[0], centred[0], *self.axes(graph, op))
        return self.by_channel(made[None])

    def by_channel(self, weights: Array) -> Array:
        """See `WeightedRule.by_channel`."""
        return weights.reshape(-1, weights.shape[3]).T

    def own_layout(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """See `WeightedRule.own_layout`."""
        return rows.T.reshape(*shape[:3], len(rows))
