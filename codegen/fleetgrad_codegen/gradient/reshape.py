# SPDX-License-Identifier: Apache-2.0
"""Gradient of RESHAPE: the same errors under another shape."""

from collections.abc import Mapping

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import MoveCall, MoveRule
from fleetgrad_codegen.ir import Array, Graph, Op


class ReshapeRule(MoveRule):
    """Input and output share their errors' memory."""

    kind = "RESHAPE"
    keeps_values = True
    is_view = True

    def move(
        self,
        graph: Graph,
        op: Op,
        place: int,  # noqa: ARG002
        errors: Array,
        inputs: Mapping[int, Array],  # noqa: ARG002
    ) -> Array:
        """See `MoveRule.move`."""
        return errors.reshape(graph.tensors[op.inputs[0]].shape)

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """Nothing: it is the same memory."""
