# SPDX-License-Identifier: Apache-2.0
"""Gradient of FULLY_CONNECTED: a 1x1 convolution of a row of pixels."""

import numpy as np

from fleetgrad_codegen.gradient.weighted import WeightedRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.window import Axis, Padding
from fleetgrad_codegen.training.convolve import Doubles


class FullyConnectedRule(WeightedRule):
    """Every row of the input on its own."""

    kind = "FULLY_CONNECTED"
    channel_axis = 0
    error_kernel = "fg_conv2d_error"
    learn_kernel = "fg_conv2d_learn"

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """See `WeightedRule.axes`."""
        rows = graph.tensors[op.inputs[0]].size // self.depth(graph, op)
        return Axis(1, 1, 1, 1, Padding.VALID), Axis(rows, 1, 1, 1, Padding.VALID)

    def depth(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.depth`."""
        return graph.tensors[op.inputs[1]].shape[1]

    def taps(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.taps`."""
        return self.depth(graph, op)

    def terms(self, graph: Graph, op: Op) -> int:
        """See `WeightedRule.terms`."""
        return self.channels(graph, op)

    def errors(self, graph: Graph, op: Op, scaled: Array, weights: Array) -> Doubles:
        """See `WeightedRule.errors`."""
        made = scaled.reshape(-1, len(weights)).astype(np.float64) @ weights
        return made.reshape(graph.tensors[op.inputs[0]].shape)

    def gradient(
        self,
        graph: Graph,  # noqa: ARG002
        op: Op,  # noqa: ARG002
        errors: Array,
        centred: Array,
    ) -> Doubles:
        """See `WeightedRule.gradient`."""
        flat = errors.reshape(-1, errors.shape[-1]).astype(np.float64)
        made: Doubles = flat.T @ centred.reshape(len(flat), -1)
        return made

    def by_channel(self, weights: Array) -> Array:
        """See `WeightedRule.by_channel`."""
        return weights

    def own_layout(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """See `WeightedRule.own_layout`."""
        return rows.reshape(len(rows), *shape[1:])
