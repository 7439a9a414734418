# SPDX-License-Identifier: Apache-2.0
"""PAD: a border of real zeros."""

from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops.base import Operator


class Pad(Operator):
    """Fills with the zero point, which is what a real zero looks like."""

    kind = "PAD"
    code = 34
    options_type = 22
    arity = (2, 2)

    def widths(self, graph: Graph, op: Op) -> tuple[tuple[int, int], ...]:
        """Elements before and after, for every dimension."""
        source, paddings = self._input(graph, op, 0), self._input(graph, op, 1)
        if paddings.dtype not in (DType.INT32, DType.INT64):
            self._malformed(graph, op, f'paddings "{paddings.name}" are {paddings.dtype}', "int32")
        values = self._constant(graph, op, 1, "paddings")
        if values.shape != (len(source.shape), 2):
            self._malformed(
                graph, op, f"paddings of shape {values.shape}", f"shape ({len(source.shape)}, 2)"
            )
        if (values < 0).any():
            self._malformed(graph, op, f"paddings {values.tolist()}", "no negative numbers")
        return tuple((int(before), int(after)) for before, after in values)

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source = self._input(graph, op, 0)
        self._check_same_quantization(graph, op)
        widths = self.widths(graph, op)
        if widths and widths[0] != (0, 0):
            self._unsupported(graph, op, "the batch dimension is padded", "(0, 0) in front")
        grown = zip(source.shape, widths, strict=True)
        self._check_shape(graph, op, tuple(n + sum(width) for n, width in grown))

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        zero = self._check_int8(graph, op, self._output(graph, op)).zero_point[0]
        return [np.pad(inputs[0], self.widths(graph, op), constant_values=zero)]
