# SPDX-License-Identifier: Apache-2.0
"""Gradient of RESIZE_NEAREST_NEIGHBOR: a pixel gets the sum of the errors of its copies."""

from collections.abc import Mapping

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, SumRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.resize_nearest_neighbor import ResizeNearestNeighbor


class ResizeNearestNeighborRule(SumRule):
    """Copies lie side by side: a rectangle of the output for each pixel."""

    kind = "RESIZE_NEAREST_NEIGHBOR"
    keeps_values = True

    def sums(
        self,
        graph: Graph,
        op: Op,
        place: int,  # noqa: ARG002
        errors: Array,
        values: Mapping[int, Array],  # noqa: ARG002
    ) -> Array:
        """See `SumRule.sums`."""
        rows, columns = ResizeNearestNeighbor().sources(graph, op)
        made = np.zeros(graph.tensors[op.inputs[0]].shape, errors.dtype)
        for row, column in np.ndindex(len(rows), len(columns)):
            made[0, rows[row], columns[column]] += errors[0, row, column]
        return made

    def slopes(
        self, graph: Graph, op: Op, place: int, errors: Array, values: Mapping[int, Array]
    ) -> Array:
        """See `SumRule.slopes`."""
        return self.sums(graph, op, place, errors, values)

    def scratch_words(self, graph: Graph, op: Op) -> int:
        """A pixel."""
        return graph.tensors[op.inputs[0]].shape[3]

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `SumRule.emit`."""
        body.include(BACKWARD)
        body.call(
            "fg_resize_nearest_error",
            ResizeNearestNeighbor().params(graph, op, body),
            f"{graph.tensors[op.inputs[0]].shape[1]}U",
            call.source,
            call.errors,
            call.scratch,
            call.target,
            call.made,
        )
