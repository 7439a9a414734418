# SPDX-License-Identifier: Apache-2.0
"""What the two poolings share: options, geometry, checks."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.activation import Activation, activation_range, parse_activation
from fleetgrad_codegen.ops.base import Operator, Scaling
from fleetgrad_codegen.ops.window import Axis, Padding, parse_padding


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Options of a pooling; pairs are (height, width)."""

    padding: Padding
    stride: tuple[int, int]
    window: tuple[int, int]
    activation: Activation


class Pooling(Operator):
    """A sliding window without weights; positions in the padding do not take part.

    Attributes:
        kernel: Its function in ``fg_kernels.h``.
    """

    kernel: ClassVar[str]
    options_type = 5
    scaling = Scaling.SHARED

    def parse(self, options: Table | None) -> PoolOptions:
        """Reads the schema's Pool2DOptions."""
        table = self._require_options(options)
        return PoolOptions(
            padding=parse_padding(table.i8(0)),
            stride=(table.i32(2), table.i32(1)),
            window=(table.i32(4), table.i32(3)),
            activation=parse_activation(table.i8(5)),
        )

    def options(self, op: Op) -> PoolOptions:
        """The operator's options, typed."""
        return cast("PoolOptions", op.options)

    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """Window geometry along height and width."""
        options, shape = self.options(op), self._input(graph, op, 0).shape
        rows, columns = (
            Axis(shape[i + 1], options.window[i], options.stride[i], 1, options.padding)
            for i in (0, 1)
        )
        return rows, columns

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source = self._input(graph, op, 0)
        self._check_rank(graph, op, source, 4)
        self._check_same_quantization(graph, op)
        rows, columns = self.axes(graph, op)
        self._check_window(graph, op, rows, columns)
        self._check_shape(graph, op, (1, rows.output, columns.output, source.shape[3]))

    def reuses(self, graph: Graph, op: Op) -> tuple[int, ...]:
        """Windows follow their outputs, unless they begin before them; see `Operator.reuses`."""
        return () if any(axis.before for axis in self.axes(graph, op)) else (0,)

    @abstractmethod
    def _pool(self, values: Array, rows: Axis, columns: Axis) -> Array:
        """Pools int64 [h, w, c] to int64 [h', w', c]."""

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        pooled = self._pool(inputs[0][0].astype(np.int64), *self.axes(graph, op))
        limits = activation_range(self.options(op).activation, self._output(graph, op))
        return [np.clip(pooled, *limits).astype(np.int8)[None]]

    def params(self, graph: Graph, op: Op, body: Body) -> str:
        """The address of the kernel's parameters."""
        output, where = self._output(graph, op), graph.where(op)
        low, high = activation_range(self.options(op).activation, output)
        body.include(c_structs.KERNELS)
        return body.struct(
            "fg_pool2d_params",
            f"op{op.index}_params",
            {
                "window": c_structs.window(*self.axes(graph, op), where),
                "channels": c_structs.int16(output.shape[3], "a number of channels", where),
                "low": low,
                "high": high,
            },
        )

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        params = self.params(graph, op, body)
        source = self._pointer(graph, op, 0, body)
        body.call(self.kernel, params, source, body.value(op.outputs[0], "int8_t"))
