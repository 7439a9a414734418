# SPDX-License-Identifier: Apache-2.0
"""DEQUANTIZE: integers to float32. Runs on the host only: a device never sees a float."""

from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops.base import Operator


class Dequantize(Operator):
    """scale * (value - zero point), computed in double precision and rounded to float32."""

    kind = "DEQUANTIZE"
    code = 6
    options_type = 38

    def on_host(self, graph: Graph, op: Op) -> bool:  # noqa: ARG002
        """See `Operator.on_host`."""
        return True

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source, output = self._input(graph, op, 0), self._output(graph, op)
        self._check_shape(graph, op, source.shape)
        if source.dtype not in (DType.INT8, DType.UINT8) or output.dtype is not DType.FLOAT32:
            self._unsupported(
                graph,
                op,
                f"{source.dtype} becomes {output.dtype}",
                "int8 or uint8 activations to float32",
            )
        if self._check_quantized(graph, op, source).per_channel:
            self._unsupported(graph, op, f'"{source.name}" has many scales', "one scale")

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        source = self._check_quantized(graph, op, self._input(graph, op, 0))
        centred = inputs[0].astype(np.float64) - source.zero_point[0]
        return [(source.scale[0] * centred).astype(np.float32)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:  # noqa: ARG002
        """See `Operator.emit`; the boundary has left this operator to the host."""
        self._unsupported(graph, op, "float32 on a device", "integers from end to end")
