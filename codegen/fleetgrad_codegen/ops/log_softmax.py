# SPDX-License-Identifier: Apache-2.0
"""LOG_SOFTMAX in float32, behind the DEQUANTIZE that ends a model: the host's part of it."""

from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops.base import Operator


class LogSoftmax(Operator):
    """x - max - log(sum(exp(x - max))) along the last dimension.

    Labels and losses do not need it, so a device ends at the integers before it.
    """

    kind = "LOG_SOFTMAX"
    code = 50
    options_type = 36

    def on_host(self, graph: Graph, op: Op) -> bool:
        """See `Operator.on_host`."""
        return self._input(graph, op, 0).dtype is DType.FLOAT32

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source, output = self._input(graph, op, 0), self._output(graph, op)
        for tensor in (source, output):
            if tensor.dtype is not DType.FLOAT32:
                self._unsupported(
                    graph,
                    op,
                    f'"{tensor.name}" is {tensor.dtype}',
                    "float32, behind the last DEQUANTIZE",
                    "end the model with its logits: labels and training do not need more",
                )
        if not source.shape:
            self._unsupported(graph, op, "a log-softmax over a scalar", "at least one dimension")
        self._check_shape(graph, op, source.shape)

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:  # noqa: ARG002
        """See `Operator.reference`; sums in float32 from left to right, as LiteRT does."""
        shifted = inputs[0] - inputs[0].max(axis=-1, keepdims=True)
        powers = np.exp(shifted.astype(np.float64)).astype(np.float32)
        total = np.cumsum(powers, axis=-1, dtype=np.float32)[..., -1:]
        return [shifted - np.log(total.astype(np.float64)).astype(np.float32)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:  # noqa: ARG002
        """See `Operator.emit`; the boundary has left this operator to the host."""
        self._unsupported(graph, op, "float32 on a device", "integers from end to end")
