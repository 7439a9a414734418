# SPDX-License-Identifier: Apache-2.0
"""Gradient of CONCATENATION: every input gets the errors of its own part."""

from collections.abc import Mapping
from math import prod

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, MoveRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.concatenation import Concatenation


class ConcatenationRule(MoveRule):
    """Cuts columns out, as at PAD's border."""

    kind = "CONCATENATION"
    saturates = False

    def inputs(self, op: Op) -> tuple[int, ...]:
        """All of them."""
        return tuple(range(len(op.inputs)))

    def move(
        self,
        graph: Graph,
        op: Op,
        place: int,
        errors: Array,
        inputs: Mapping[int, Array],  # noqa: ARG002
    ) -> Array:
        """See `MoveRule.move`."""
        axis = Concatenation().axis(graph, op)
        sizes = [graph.tensors[index].shape[axis] for index in op.inputs]
        start = sum(sizes[:place])
        cut = (slice(None),) * axis + (slice(start, start + sizes[place]),)
        return errors[cut]

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `MoveRule.emit`."""
        output, axis = graph.tensors[op.outputs[0]], Concatenation().axis(graph, op)
        rows, pitch = prod(output.shape[:axis]), prod(output.shape[axis:])
        widths = [graph.tensors[index].size // rows for index in op.inputs]
        start, width = sum(widths[: call.place]), widths[call.place]
        body.include(c_structs.KERNELS)
        body.include(BACKWARD)
        params = body.struct(
            "fg_pad_params",
            f"back{op.index}_{call.place}",
            {
                "input": f"{{1, {rows}, {width}}}",
                "before": f"{{0, 0, {start}}}",
                "output": f"{{1, {rows}, {pitch}}}",
                "value": 0,
            },
        )
        body.call(
            "fg_crop_error", params, call.source, call.errors, call.mask, call.target, call.made
        )
