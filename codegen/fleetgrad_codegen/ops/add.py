# SPDX-License-Identifier: Apache-2.0
"""ADD: two tensors of one shape, each with a scale of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.activation import Activation, activation_range, parse_activation
from fleetgrad_codegen.ops.base import Operator
from fleetgrad_codegen.ops.fixed_point import Multiplier, quantize_multiplier, scale_twice

LEFT_SHIFT = 20
"""Both inputs are shifted left by this much before they are brought to a common scale."""


@dataclass(frozen=True, slots=True)
class AddOptions:
    """Options of ADD."""

    activation: Activation


class Add(Operator):
    """Both inputs are brought to twice the larger scale, added there, and scaled to the output."""

    kind = "ADD"
    code = 0
    options_type = 11
    arity = (2, 2)
    in_place = (0, 1)

    def parse(self, options: Table | None) -> AddOptions:
        """Reads the schema's AddOptions."""
        return AddOptions(parse_activation(options.i8(0) if options else 0))

    def multipliers(self, graph: Graph, op: Op) -> tuple[Multiplier, Multiplier, Multiplier]:
        """For the first input, the second input, and the sum."""
        first = self._check_int8(graph, op, self._input(graph, op, 0)).scale[0]
        second = self._check_int8(graph, op, self._input(graph, op, 1)).scale[0]
        output = self._check_int8(graph, op, self._output(graph, op)).scale[0]
        common = 2 * max(first, second)
        return (
            quantize_multiplier(first / common),
            quantize_multiplier(second / common),
            quantize_multiplier(common / (2**LEFT_SHIFT * output)),
        )

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        first, second = self._input(graph, op, 0), self._input(graph, op, 1)
        if first.shape != second.shape:
            self._unsupported(
                graph, op, f"inputs of shapes {first.shape} and {second.shape}", "the same shape"
            )
        self._check_shape(graph, op, first.shape)
        if self.multipliers(graph, op)[2].shift > 0:
            self._unsupported(
                graph,
                op,
                "the output scale is a millionth of an input scale",
                "an output scale above 2**-19 of the larger input scale",
            )

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        output = self._output(graph, op)
        made = self.multipliers(graph, op)
        total = np.zeros(output.shape, np.int64)
        for position in (0, 1):
            zero = self._check_int8(graph, op, self._input(graph, op, position)).zero_point[0]
            shifted = (inputs[position].astype(np.int64) - zero) << LEFT_SHIFT
            total += scale_twice(shifted, made[position].value, made[position].shift)
        scaled = scale_twice(total, made[2].value, made[2].shift)
        scaled += self._check_int8(graph, op, output).zero_point[0]
        limits = activation_range(cast("AddOptions", op.options).activation, output)
        return [np.clip(scaled, *limits).astype(np.int8)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        output = self._output(graph, op)
        zeros = [c_structs.zero_point(self._input(graph, op, i)) for i in (0, 1)]
        first, second, total = map(c_structs.scale, self.multipliers(graph, op))
        limits = activation_range(cast("AddOptions", op.options).activation, output)
        body.include(c_structs.KERNELS)
        params = body.struct(
            "fg_add_params",
            f"op{op.index}_params",
            {
                "count": output.size,
                "input_zero": f"{{{zeros[0]}, {zeros[1]}}}",
                "input_scale": f"{{{first}, {second}}}",
                "scale": total,
                "output": c_structs.output(output, limits),
            },
        )
        sources = (self._pointer(graph, op, i, body) for i in (0, 1))
        body.call("fg_add", params, *sources, body.value(op.outputs[0], "int8_t"))
