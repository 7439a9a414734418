# SPDX-License-Identifier: Apache-2.0
"""Gradient of TRANSPOSE: every error goes back to where its value came from."""

from collections.abc import Mapping

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, MoveRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.transpose import Transpose


class TransposeRule(MoveRule):
    """The inverse permutation."""

    kind = "TRANSPOSE"
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
        return errors.transpose(np.argsort(Transpose().permutation(graph, op)))

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `MoveRule.emit`."""
        body.include(BACKWARD)
        params = Transpose().params(graph, op, body)
        body.call("fg_transpose_error", params, call.source, call.errors, call.target, call.made)
