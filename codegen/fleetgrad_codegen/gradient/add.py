# SPDX-License-Identifier: Apache-2.0
"""Gradient of ADD: both inputs get the output's errors."""

from collections.abc import Mapping

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, GradientRule, MoveCall, MoveRule
from fleetgrad_codegen.gradient.pair import RepeatedAddRule
from fleetgrad_codegen.ir import Array, Graph, Op


class AddRule(MoveRule):
    """Errors are of real values, so the inputs' scales do not matter."""

    kind = "ADD"
    places = (0, 1)
    _repeated = RepeatedAddRule()

    def of(self, graph: Graph, op: Op) -> GradientRule:
        """Sums, where an input is repeated."""
        shapes = {graph.tensors[index].shape for index in (*op.inputs, *op.outputs)}
        return self if len(shapes) == 1 else self._repeated

    def move(
        self,
        graph: Graph,  # noqa: ARG002
        op: Op,  # noqa: ARG002
        place: int,  # noqa: ARG002
        errors: Array,
        inputs: Mapping[int, Array],  # noqa: ARG002
    ) -> Array:
        """See `MoveRule.move`."""
        return errors

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `MoveRule.emit`."""
        body.include(BACKWARD)
        count = f"{graph.tensors[op.outputs[0]].size}U"
        body.call(
            "fg_copy_error", count, call.source, call.errors, call.mask, call.target, call.made
        )
