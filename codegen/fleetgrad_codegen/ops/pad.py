# SPDX-License-Identifier: Apache-2.0
"""PAD: a border of real zeros."""

from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.base import Operator, Scaling


class Pad(Operator):
    """Fills with the zero point, which is what a real zero looks like."""

    kind = "PAD"
    scaling = Scaling.SHARED
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
        self._blocks(graph, op)
        grown = zip(source.shape, widths, strict=True)
        self._check_shape(graph, op, tuple(n + sum(width) for n, width in grown))

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        zero = self._check_int8(graph, op, self._output(graph, op)).zero_point[0]
        return [np.pad(inputs[0], self.widths(graph, op), constant_values=zero)]

    def _blocks(self, graph: Graph, op: Op) -> list[tuple[int, int, int]]:
        """The input as three dimensions of (size, before, size with padding), outermost first.

        A dimension that is not padded is one with the dimension before it.

        Raises:
            UnsupportedError: More than three dimensions are left.
        """
        blocks: list[tuple[int, int, int]] = []
        shape = self._input(graph, op, 0).shape
        for size, (before, after) in zip(shape, self.widths(graph, op), strict=True):
            padded = before + size + after
            if blocks and padded == size:
                block = blocks.pop()
                blocks.append((block[0] * size, block[1] * size, block[2] * size))
            elif blocks and blocks[-1] == (1, 0, 1):
                blocks[-1] = (size, before, padded)
            else:
                blocks.append((size, before, padded))
        if len(blocks) > 3:
            self._unsupported(graph, op, f"{len(blocks)} padded dimensions", "at most three")
        return [(1, 0, 1)] * (3 - len(blocks)) + blocks

    def params(self, graph: Graph, op: Op, body: Body) -> str:
        """The address of the kernel's parameters."""
        names = ("input", "before", "output")
        columns = zip(*self._blocks(graph, op), strict=True)
        body.include(c_structs.KERNELS)
        return body.struct(
            "fg_pad_params",
            f"op{op.index}_params",
            {
                **{n: f"{{{', '.join(map(str, c))}}}" for n, c in zip(names, columns, strict=True)},
                "value": c_structs.zero_point(self._output(graph, op)),
            },
        )

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        params = self.params(graph, op, body)
        source = self._pointer(graph, op, 0, body)
        body.call("fg_pad", params, source, body.value(op.outputs[0], "int8_t"))
