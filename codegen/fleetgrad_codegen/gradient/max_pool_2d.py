# SPDX-License-Identifier: Apache-2.0
"""Gradient of MAX_POOL_2D: errors go where the maximum came from."""

from collections.abc import Mapping

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, GradientRule, MoveCall, MoveRule
from fleetgrad_codegen.gradient.overlap import OverlappingMaxPool2DRule, overlaps
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.max_pool_2d import MaxPool2D
from fleetgrad_codegen.plan import Region


class MaxPool2DRule(MoveRule):
    """The first maximum of a window, noted down in a byte, gets all of its error."""

    kind = "MAX_POOL_2D"
    keeps_values = True
    _overlapping = OverlappingMaxPool2DRule()

    def of(self, graph: Graph, op: Op) -> GradientRule:
        """Sums, where windows overlap."""
        return self._overlapping if overlaps(*MaxPool2D().axes(graph, op)) else self

    def check(self, graph: Graph, op: Op) -> None:
        """See `GradientRule.check`."""
        self._overlapping.check(graph, op)

    def move(
        self,
        graph: Graph,
        op: Op,
        place: int,
        errors: Array,
        inputs: Mapping[int, Array],
    ) -> Array:
        """See `MoveRule.move`."""
        return self._overlapping.sums(graph, op, place, errors, {op.inputs[0]: inputs[0]})

    def route_bytes(self, graph: Graph, op: Op) -> int:
        """See `MoveRule.route_bytes`."""
        return self._overlapping.route_bytes(graph, op)

    def emit_route(self, graph: Graph, op: Op, body: Body, routes: Region) -> None:
        """See `MoveRule.emit_route`."""
        self._overlapping.emit_route(graph, op, body, routes)

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `MoveRule.emit`."""
        body.include(BACKWARD)
        body.call(
            "fg_max_pool2d_error",
            MaxPool2D().params(graph, op, body),
            call.routes,
            call.source,
            call.errors,
            call.mask,
            call.target,
            call.made,
        )
