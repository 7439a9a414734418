# SPDX-License-Identifier: Apache-2.0
"""RESIZE_NEAREST_NEIGHBOR: an image of another height and width, made of the pixels nearest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.base import Operator, Scaling


@dataclass(frozen=True, slots=True)
class ResizeOptions:
    """Options of RESIZE_NEAREST_NEIGHBOR."""

    align_corners: bool
    half_pixel_centers: bool


class ResizeNearestNeighbor(Operator):
    """Copies pixels; which ones is known, in float32 as in the reference, before the model runs."""

    kind = "RESIZE_NEAREST_NEIGHBOR"
    scaling = Scaling.SHARED
    code = 97
    options_type = 74
    arity = (2, 2)

    def parse(self, options: Table | None) -> ResizeOptions:
        """Reads the schema's ResizeNearestNeighborOptions."""
        if options is None:
            return ResizeOptions(align_corners=False, half_pixel_centers=False)
        return ResizeOptions(options.boolean(0), options.boolean(1))

    def sources(self, graph: Graph, op: Op) -> tuple[Array, Array]:
        """The input's row of every output row, and the input's column of every output column."""
        options = cast("ResizeOptions", op.options)
        before, after = self._input(graph, op, 0).shape, self._output(graph, op).shape
        rows, columns = (_nearest(before[i], after[i], options) for i in (1, 2))
        return rows, columns

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source, size = self._input(graph, op, 0), self._input(graph, op, 1)
        self._check_same_quantization(graph, op)
        self._check_rank(graph, op, source, 4)
        if source.shape[0] != 1:
            self._unsupported(graph, op, f"a batch of {source.shape[0]}", "one image")
        values = self._constant(graph, op, 1, "dimensions")
        if size.dtype is not DType.INT32 or values.size != 2 or (values < 1).any():
            self._malformed(graph, op, f"new size {values.tolist()}", "height and width, int32")
        height, width = map(int, values.reshape(-1))
        self._check_shape(graph, op, (1, height, width, source.shape[3]))
        for dimension in (*source.shape, height, width):
            c_structs.int16(dimension, "a dimension", graph.where(op))

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        rows, columns = self.sources(graph, op)
        picked: Array = inputs[0][:, rows[:, None], columns[None, :]]
        return [picked]

    def params(self, graph: Graph, op: Op, body: Body) -> str:
        """The address of the kernel's parameters."""
        source, output = self._input(graph, op, 0), self._output(graph, op)
        rows, columns = (values.astype(np.int16) for values in self.sources(graph, op))
        body.include(c_structs.KERNELS)
        return body.struct(
            "fg_resize_params",
            f"op{op.index}_params",
            {
                "out_h": output.shape[1],
                "out_w": output.shape[2],
                "in_w": source.shape[2],
                "channels": source.shape[3],
                "rows": body.table(f"op{op.index}_rows", rows),
                "columns": body.table(f"op{op.index}_columns", columns),
            },
        )

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        params = self.params(graph, op, body)
        pointer = self._pointer(graph, op, 0, body)
        body.call("fg_resize_nearest", params, pointer, body.value(op.outputs[0], "int8_t"))


def _nearest(before: int, after: int, options: ResizeOptions) -> Array:
    """Index into ``before`` positions for each of ``after``."""
    stretch = options.align_corners and after > 1
    scale = np.float32(before - 1 if stretch else before) / np.float32(
        after - 1 if stretch else after
    )
    offset = np.float32(0.5 if options.half_pixel_centers else 0.0)
    exact = (np.arange(after, dtype=np.float32) + offset) * scale
    # No position is negative, so that rounding ties away from zero means up.
    if options.align_corners:
        whole = np.floor(exact) + (exact - np.floor(exact) >= 0.5)
    else:
        whole = np.floor(exact)
    found: Array = np.minimum(whole.astype(np.int64), before - 1)
    return found
