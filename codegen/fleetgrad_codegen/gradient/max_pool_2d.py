# SPDX-License-Identifier: Apache-2.0
"""Gradient of MAX_POOL_2D: errors go where the maximum came from."""

from collections.abc import Mapping

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, MoveRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.ops.max_pool_2d import MaxPool2D
from fleetgrad_codegen.ops.window import tap_view
from fleetgrad_codegen.plan import Region

_MOST_TAPS = 255


class MaxPool2DRule(MoveRule):
    """The first maximum of a window, noted down in a byte, gets all of its error."""

    kind = "MAX_POOL_2D"
    keeps_values = True

    def check(self, graph: Graph, op: Op) -> None:
        """See `GradientRule.check`."""
        axes = MaxPool2D().axes(graph, op)
        if any(axis.stride < axis.window and axis.output > 1 for axis in axes):
            self._refuse(graph, op, "the windows overlap", "a stride as large as the window")
        taps = axes[0].window * axes[1].window
        if taps > _MOST_TAPS:
            self._refuse(graph, op, f"a window of {taps} elements", f"at most {_MOST_TAPS}")
        if MaxPool2D().options(op).activation is not Activation.NONE:
            self._refuse(graph, op, "the pooling has a fused activation", "none")

    def move(self, graph: Graph, op: Op, errors: Array, inputs: Mapping[int, Array]) -> Array:
        """See `MoveRule.move`."""
        rows, columns = MaxPool2D().axes(graph, op)
        x = inputs[0][0]
        border = ((rows.before, rows.after), (columns.before, columns.after), (0, 0))
        padded = np.pad(x.astype(np.float64), border, constant_values=-np.inf)
        taps = list(np.ndindex(rows.window, columns.window))
        routes = np.stack([tap_view(padded, rows, columns, *tap) for tap in taps]).argmax(axis=0)
        made = np.zeros(padded.shape, errors.dtype)
        for place, tap in enumerate(taps):
            tap_view(made, rows, columns, *tap)[...] += np.where(routes == place, errors[0], 0)
        inner = made[rows.before :, columns.before :][: rows.size, : columns.size]
        return inner[None]

    def route_bytes(self, graph: Graph, op: Op) -> int:
        """One per output."""
        return graph.tensors[op.outputs[0]].size

    def emit_route(self, graph: Graph, op: Op, body: Body, routes: Region) -> None:
        """See `MoveRule.emit_route`."""
        body.include(BACKWARD)
        body.call(
            "fg_max_pool2d_route",
            MaxPool2D().params(graph, op, body),
            body.value(op.inputs[0], "const int8_t"),
            body.address(routes, "uint8_t"),
        )

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
