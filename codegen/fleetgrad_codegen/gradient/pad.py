# SPDX-License-Identifier: Apache-2.0
"""Gradient of PAD: what falls on the border is lost."""

from collections.abc import Mapping

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, MoveRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.pad import Pad


class PadRule(MoveRule):
    """Cuts the border off."""

    kind = "PAD"
    keeps_values = True

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
        widths = Pad().widths(graph, op)
        inner = tuple(slice(w[0], w[0] + size) for w, size in zip(widths, shape, strict=True))
        return errors[inner]

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `MoveRule.emit`."""
        body.include(BACKWARD)
        params = Pad().params(graph, op, body)
        body.call(
            "fg_crop_error", params, call.source, call.errors, call.mask, call.target, call.made
        )
