# SPDX-License-Identifier: Apache-2.0
"""Gradient of AVERAGE_POOL_2D."""

from fleetgrad_codegen.gradient.base import GradientRule
from fleetgrad_codegen.gradient.overlap import OverlappingAveragePool2DRule, overlaps
from fleetgrad_codegen.gradient.spread import SpreadRule
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops.average_pool_2d import AveragePool2D
from fleetgrad_codegen.ops.window import Axis


class AveragePool2DRule(SpreadRule):
    """The operator's own windows."""

    kind = "AVERAGE_POOL_2D"
    saturates = False
    _overlapping = OverlappingAveragePool2DRule()

    def of(self, graph: Graph, op: Op) -> GradientRule:
        """Sums, where windows overlap or reach over the border."""
        axes = AveragePool2D().axes(graph, op)
        hard = overlaps(*axes) or any(axis.has_border for axis in axes)
        return self._overlapping if hard else self

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """See `SpreadRule.axes`."""
        return AveragePool2D().axes(graph, op)

    def depth(self, graph: Graph, op: Op) -> int:
        """See `SpreadRule.depth`."""
        return graph.tensors[op.inputs[0]].shape[3]
