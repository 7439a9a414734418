# SPDX-License-Identifier: Apache-2.0
"""Gradient of MEAN over neighbouring dimensions, such as height and width."""

from math import prod

from fleetgrad_codegen.gradient.spread import SpreadRule
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops.mean import Mean
from fleetgrad_codegen.ops.window import Axis, Padding


class MeanRule(SpreadRule):
    """The input as [kept, averaged, kept]: one window per row, as wide as the image."""

    kind = "MEAN"

    def check(self, graph: Graph, op: Op) -> None:
        """See `GradientRule.check`."""
        axes = Mean().axes(graph, op)
        if not axes or axes != tuple(range(axes[0], axes[-1] + 1)):
            self._refuse(graph, op, f"a mean over the axes {axes}", "neighbouring axes")

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """See `SpreadRule.axes`."""
        shape, averaged = graph.tensors[op.inputs[0]].shape, Mean().axes(graph, op)
        kept, count = prod(shape[: averaged[0]]), prod(shape[axis] for axis in averaged)
        return Axis(kept, 1, 1, 1, Padding.VALID), Axis(count, count, count, 1, Padding.VALID)

    def depth(self, graph: Graph, op: Op) -> int:
        """See `SpreadRule.depth`."""
        return prod(graph.tensors[op.inputs[0]].shape[Mean().axes(graph, op)[-1] + 1 :])
