# SPDX-License-Identifier: Apache-2.0
"""MEAN: average along constant dimensions, requantised."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops import c_structs, growth
from fleetgrad_codegen.ops.base import Operator, Scaling
from fleetgrad_codegen.ops.fixed_point import (
    INT32_MAX,
    Multiplier,
    quantize_multiplier,
    scale_twice,
)


@dataclass(frozen=True, slots=True)
class MeanOptions:
    """Options of MEAN."""

    keep_dims: bool


class Mean(Operator):
    """Sums, subtracts the zero points, and scales by input scale / (output scale * count)."""

    kind = "MEAN"
    code = 40
    options_type = 27
    arity = (2, 2)
    scaling = Scaling.FREE

    def parse(self, options: Table | None) -> MeanOptions:
        """Reads the schema's ReducerOptions."""
        return MeanOptions(options is not None and options.boolean(0))

    def axes(self, graph: Graph, op: Op) -> tuple[int, ...]:
        """The dimensions that vanish, ascending, each named once."""
        source, axes = self._input(graph, op, 0), self._input(graph, op, 1)
        if axes.dtype is not DType.INT32:
            self._malformed(graph, op, f'axes "{axes.name}" are {axes.dtype}', "int32")
        values = [int(a) for a in self._constant(graph, op, 1, "axes").reshape(-1)]
        rank = len(source.shape)
        if any(not -rank <= a < rank for a in values):
            self._malformed(graph, op, f"axes {values} on shape {source.shape}", "existing ones")
        return tuple(sorted({a % rank for a in values}))

    def multiplier(self, graph: Graph, op: Op) -> Multiplier:
        """From sum to output, with the division by the count folded in as the reference does."""
        return self._multiplier(graph, op, self._ratio(graph, op))

    def _multiplier(self, graph: Graph, op: Op, ratio: float) -> Multiplier:
        made = quantize_multiplier(ratio)
        count = self._count(graph, op)
        shift = min(count.bit_length() - 1, 32, 31 + made.shift)
        return Multiplier((made.value << shift) // count, made.shift - shift)

    def can_grow(self, graph: Graph, op: Op, by: int) -> bool:
        """See `Operator.can_grow`."""
        ratio = self._ratio(graph, op)
        made, grown = (self._multiplier(graph, op, ratio * 2.0**n) for n in (0, by))
        return grown == Multiplier(made.value, made.shift + by) and grown.shift <= 0

    def _ratio(self, graph: Graph, op: Op) -> float:
        source = self._check_int8(graph, op, self._input(graph, op, 0))
        return source.scale[0] / self._check_int8(graph, op, self._output(graph, op)).scale[0]

    def _count(self, graph: Graph, op: Op) -> int:
        shape = self._input(graph, op, 0).shape
        return prod(shape[a] for a in self.axes(graph, op))

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source = self._input(graph, op, 0)
        self._check_int8(graph, op, source)
        self._check_int8(graph, op, self._output(graph, op))
        axes = self.axes(graph, op)
        keep = cast("MeanOptions", op.options).keep_dims
        shape = tuple(
            1 if i in axes else n for i, n in enumerate(source.shape) if keep or i not in axes
        )
        self._check_shape(graph, op, shape)
        if self._count(graph, op) * 255 > INT32_MAX:
            self._unsupported(graph, op, "the sum can overflow 32 bits", "at most 2**23 values")
        self._blocks(graph, op)
        if quantize_multiplier(self._ratio(graph, op)).shift > 21:
            self._unsupported(graph, op, "scales too far apart", "a quotient below 2**21")
        if shape[:1] != (1,):
            self._unsupported(graph, op, f"output shape {shape}", "a batch dimension of 1 in front")

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        output = self._output(graph, op)
        source = self._check_int8(graph, op, self._input(graph, op, 0))
        target = self._check_int8(graph, op, output)
        total = inputs[0].sum(axis=self.axes(graph, op), dtype=np.int64)
        total = total - source.zero_point[0] * self._count(graph, op)
        made = self.multiplier(graph, op)
        scaled = scale_twice(total, made.value, made.shift) + target.zero_point[0]
        return [np.clip(scaled, -128, 127).astype(np.int8).reshape(output.shape)]

    def _blocks(self, graph: Graph, op: Op) -> tuple[int, int, int, int, int]:
        """The input's shape as (kept, averaged, kept, averaged, kept).

        Raises:
            UnsupportedError: The averaged dimensions form more than two groups.
        """
        axes = self.axes(graph, op)
        blocks = [1]
        for dimension, size in enumerate(self._input(graph, op, 0).shape):
            averaged = dimension in axes
            if size == 1:
                continue
            if averaged == (len(blocks) % 2 == 0):
                blocks[-1] *= size
            else:
                blocks.append(size)
        if len(blocks) > 5:
            self._unsupported(graph, op, f"axes {axes}", "at most two groups of neighbouring axes")
        outer, first, middle, second, inner = (*blocks, 1, 1, 1, 1)[:5]
        return outer, first, middle, second, inner

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        output = self._output(graph, op)
        zero = c_structs.zero_point(self._input(graph, op, 0))
        names = ("outer", "first", "middle", "second", "inner")
        body.include(c_structs.KERNELS)
        params = body.struct(
            "fg_mean_params",
            f"op{op.index}_params",
            {
                **dict(zip(names, self._blocks(graph, op), strict=True)),
                "bias": -zero * self._count(graph, op),
                "scale": c_structs.scale(self.multiplier(graph, op)),
                "output": c_structs.output(output, (-128, 127)),
            },
        )
        if by := growth.change(self._input(graph, op, 0), output):
            now = body.local("fg_mean_params", f"op{op.index}_now", f"*{params}")
            body.line(f"{now}.scale.shift += {by};")
            params = f"&{now}"
        source = self._pointer(graph, op, 0, body)
        body.call("fg_mean", params, source, body.value(op.outputs[0], "int8_t"))
