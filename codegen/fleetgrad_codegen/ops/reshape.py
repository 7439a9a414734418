# SPDX-License-Identifier: Apache-2.0
"""RESHAPE: the same values under another shape."""

from collections.abc import Sequence

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.base import Operator, Scaling


class Reshape(Operator):
    """The output tensor tells the shape; a shape given as input or option says the same."""

    kind = "RESHAPE"
    scaling = Scaling.SHARED
    code = 22
    options_type = 17
    arity = (1, 2)
    is_view = True

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        self._check_same_quantization(graph, op)
        source, output = self._input(graph, op, 0), self._output(graph, op)
        if len(op.inputs) > 1 and op.inputs[1] >= 0:
            self._constant(graph, op, 1, "dimensions")
        if source.is_constant:
            self._unsupported(graph, op, "a constant is reshaped", "a value computed at run time")
        if source.size != output.size:
            self._malformed(
                graph, op, f"shape {source.shape} becomes {output.shape}", f"{source.size} elements"
            )

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        return [inputs[0].reshape(self._output(graph, op).shape)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """Nothing: input and output are the same memory."""
