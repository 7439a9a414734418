# SPDX-License-Identifier: Apache-2.0
"""Gradient of MEAN over height and width."""

from fleetgrad_codegen.gradient.spread import SpreadRule
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops.mean import Mean
from fleetgrad_codegen.ops.window import Axis, Padding


class MeanRule(SpreadRule):
    """One window: the whole image."""

    kind = "MEAN"

    def check(self, graph: Graph, op: Op) -> None:
        """See `GradientRule.check`."""
        axes = Mean().axes(graph, op)
        if len(graph.tensors[op.inputs[0]].shape) != 4 or axes != (1, 2):
            self._refuse(graph, op, f"a mean over the axes {axes}", "height and width: (1, 2)")

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """See `SpreadRule.axes`."""
        _, height, width, _ = graph.tensors[op.inputs[0]].shape
        rows, columns = (Axis(n, n, n, 1, Padding.VALID) for n in (height, width))
        return rows, columns
