# SPDX-License-Identifier: Apache-2.0
"""What means have in common on the way back: every element gets a copy of its mean's error."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, MoveRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.window import Axis


class SpreadRule(MoveRule):
    """The mean over windows that neither overlap nor reach over the border.

    The division by the number of elements is a constant factor: nothing is rounded.
    """

    @abstractmethod
    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """Window geometry along height and width."""

    @abstractmethod
    def depth(self, graph: Graph, op: Op) -> int:
        """Channels: elements side by side that are averaged each on its own."""

    def factor(self, graph: Graph, op: Op) -> float:
        """One part of the mean."""
        rows, columns = self.axes(graph, op)
        return 1.0 / (rows.window * columns.window)

    def move(
        self,
        graph: Graph,
        op: Op,
        place: int,  # noqa: ARG002
        errors: Array,
        inputs: Mapping[int, Array],  # noqa: ARG002
    ) -> Array:
        """See `MoveRule.move`."""
        shape = graph.tensors[op.inputs[0]].shape
        rows, columns = self.axes(graph, op)
        depth = self.depth(graph, op)
        made = np.zeros((rows.size, columns.size, depth), errors.dtype)
        pixels = errors.reshape(rows.output, columns.output, depth)
        for row, column in np.ndindex(rows.window, columns.window):
            made[rows.taps(row), columns.taps(column)] = pixels
        return made.reshape(shape)

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `MoveRule.emit`."""
        where = graph.where(op)
        body.include(BACKWARD)
        depth = self.depth(graph, op)
        params = body.struct(
            "fg_pool2d_params",
            f"back{op.index}",
            {
                "window": c_structs.window(*self.axes(graph, op), where),
                "channels": c_structs.int16(depth, "a number of channels", where),
                "low": -128,
                "high": 127,
            },
        )
        body.call(
            "fg_spread_error", params, call.source, call.errors, call.mask, call.target, call.made
        )
