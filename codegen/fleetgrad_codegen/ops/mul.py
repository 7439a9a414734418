# SPDX-License-Identifier: Apache-2.0
"""MUL: the product of two tensors, element by element."""

from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.elementwise import Elementwise
from fleetgrad_codegen.ops.fixed_point import Multiplier, quantize_multiplier, scale_twice

MAX_SHIFT = 14
"""Products have 17 bits, so that a left shift by no more than this stays within int32."""


class Mul(Elementwise):
    """Products of centred values, scaled to the output with two roundings."""

    kind = "MUL"
    code = 18
    options_type = 21

    def multiplier(self, graph: Graph, op: Op) -> Multiplier:
        """From product to output; the reference computes the factor in float32."""
        first, second, output = (
            np.float32(self._check_int8(graph, op, tensor).scale[0])
            for tensor in (
                self._input(graph, op, 0),
                self._input(graph, op, 1),
                self._output(graph, op),
            )
        )
        with np.errstate(over="ignore", under="ignore"):
            factor = float(first * second / output)
        if not 2.0**-40 < factor < 2.0**MAX_SHIFT:
            self._unsupported(
                graph,
                op,
                f"the scales make an output factor of {factor:g}",
                f"input scales / output scale between 2**-40 and 2**{MAX_SHIFT}",
            )
        return quantize_multiplier(factor)

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        super().check(graph, op)
        self.multiplier(graph, op)

    def macs(self, graph: Graph, op: Op) -> int:
        """See `Operator.macs`."""
        return self._output(graph, op).size

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        centred = [
            inputs[i].astype(np.int64) - c_structs.zero_point(self._input(graph, op, i))
            for i in (0, 1)
        ]
        made = self.multiplier(graph, op)
        scaled = scale_twice(centred[0] * centred[1], made.value, made.shift)
        scaled += c_structs.zero_point(self._output(graph, op))
        return [np.clip(scaled, *self.limits(graph, op)).astype(np.int8)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        zeros = [c_structs.zero_point(self._input(graph, op, i)) for i in (0, 1)]
        body.include(c_structs.KERNELS)
        params = body.struct(
            "fg_mul_params",
            f"op{op.index}_params",
            {
                "shape": self.broadcast(graph, op).initialiser,
                "input_zero": f"{{{zeros[0]}, {zeros[1]}}}",
                "scale": c_structs.scale(self.multiplier(graph, op)),
                "output": c_structs.output(self._output(graph, op), self.limits(graph, op)),
            },
        )
        sources = (self._pointer(graph, op, i, body) for i in (0, 1))
        body.call("fg_mul", params, *sources, body.value(op.outputs[0], "int8_t"))
