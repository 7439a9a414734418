# SPDX-License-Identifier: Apache-2.0
"""CONCATENATION: tensors next to each other along one dimension."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import ABSENT, Array, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.activation import Activation, parse_activation
from fleetgrad_codegen.ops.base import Operator, Scaling


@dataclass(frozen=True, slots=True)
class ConcatenationOptions:
    """Options of CONCATENATION; a negative axis counts from the end."""

    axis: int
    activation: Activation


class Concatenation(Operator):
    """Copies raw values: all tensors have the same quantisation."""

    kind = "CONCATENATION"
    scaling = Scaling.SHARED
    code = 2
    options_type = 10
    arity = (1, 4096)

    def parse(self, options: Table | None) -> ConcatenationOptions:
        """Reads the schema's ConcatenationOptions."""
        if options is None:
            return ConcatenationOptions(0, Activation.NONE)
        return ConcatenationOptions(options.i32(0), parse_activation(options.i8(1)))

    def axis(self, graph: Graph, op: Op) -> int:
        """The dimension along which the inputs follow each other."""
        rank = len(self._output(graph, op).shape)
        given = cast("ConcatenationOptions", op.options).axis
        if not -rank <= given < rank:
            self._malformed(graph, op, f"axis {given} of {rank} dimensions", "one that exists")
        return given % rank

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        if ABSENT in op.inputs:
            self._malformed(graph, op, "an input is missing")
        if cast("ConcatenationOptions", op.options).activation is not Activation.NONE:
            self._unsupported(graph, op, "a fused activation", "none, as the reference demands")
        output, axis = self._output(graph, op), self.axis(graph, op)
        target = self._check_int8(graph, op, output)
        inputs = [graph.tensors[index] for index in op.inputs]
        for tensor in inputs:
            source = self._check_int8(graph, op, tensor)
            if (source.scale, source.zero_point) != (target.scale, target.zero_point):
                self._unsupported(
                    graph,
                    op,
                    f'"{tensor.name}" (scale {source.scale[0]:g}, zero point '
                    f"{source.zero_point[0]}) and the output (scale {target.scale[0]:g}, zero "
                    f"point {target.zero_point[0]}) are quantised differently",
                    "the same scale and zero point",
                )
            if len(tensor.shape) != len(output.shape):
                self._check_rank(graph, op, tensor, len(output.shape))
        sizes = [tensor.shape[axis] for tensor in inputs]
        for tensor, size in zip(inputs, sizes, strict=True):
            expected = (*tensor.shape[:axis], sum(sizes), *tensor.shape[axis + 1 :])
            if size < 1 or expected != output.shape:
                self._check_shape(graph, op, expected)

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        return [np.concatenate(inputs, axis=self.axis(graph, op))]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`: one call per input, each for its columns of the output."""
        output, axis = self._output(graph, op), self.axis(graph, op)
        rows, pitch = prod(output.shape[:axis]), prod(output.shape[axis:])
        target = body.value(op.outputs[0], "int8_t")
        body.include(c_structs.KERNELS)
        start = 0
        for position in range(len(op.inputs)):
            width = self._input(graph, op, position).size // rows
            source = self._pointer(graph, op, position, body)
            body.call("fg_copy_columns", source, rows, width, f"{target} + {start}", pitch)
            start += width
