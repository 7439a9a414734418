# SPDX-License-Identifier: Apache-2.0
"""What ADD and SUB share: both inputs on a common scale, then the sum on the output's."""

from collections.abc import Sequence
from typing import ClassVar, cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs, growth
from fleetgrad_codegen.ops.base import Scaling
from fleetgrad_codegen.ops.elementwise import Elementwise, ElementwiseOptions
from fleetgrad_codegen.ops.fixed_point import Multiplier, quantize_multiplier, scale_twice

LEFT_SHIFT = 20
"""Both inputs are shifted left by this much before they are brought to a common scale."""


class ScaledSum(Elementwise):
    """Both inputs are brought to twice the larger scale, added there, and scaled to the output.

    Attributes:
        sign: What the second input counts: 1 or -1. It is applied after scaling, where the
            reference does it; scaling rounds ties up, so that the order matters.
    """

    scaling = Scaling.FREE
    sign: ClassVar[int]

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
        super().check(graph, op)
        if self.multipliers(graph, op)[2].shift > 0:
            self._unsupported(
                graph,
                op,
                "the output scale is a millionth of an input scale",
                "an output scale above 2**-19 of the larger input scale",
            )

    def can_grow(self, graph: Graph, op: Op, by: int) -> bool:
        """See `Operator.can_grow`."""
        made = self.multipliers(graph, op)[2]
        first, second = (self._input(graph, op, i).quantization for i in (0, 1))
        output = self._output(graph, op).quantization
        assert first is not None
        assert second is not None
        assert output is not None
        common = 2 * max(first.scale[0], second.scale[0])
        grown = quantize_multiplier(common * 2.0**by / (2**LEFT_SHIFT * output.scale[0]))
        return grown == Multiplier(made.value, made.shift + by) and grown.shift <= 0

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        output = self._output(graph, op)
        made = self.multipliers(graph, op)
        total = np.zeros(output.shape, np.int64)
        for position, sign in ((0, 1), (1, self.sign)):
            zero = self._check_int8(graph, op, self._input(graph, op, position)).zero_point[0]
            shifted = (inputs[position].astype(np.int64) - zero) << LEFT_SHIFT
            total += sign * scale_twice(shifted, made[position].value, made[position].shift)
        scaled = scale_twice(total, made[2].value, made[2].shift)
        scaled += self._check_int8(graph, op, output).zero_point[0]
        return [np.clip(scaled, *self.limits(graph, op)).astype(np.int8)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        output = self._output(graph, op)
        zeros = [c_structs.zero_point(self._input(graph, op, i)) for i in (0, 1)]
        first, second, total = map(c_structs.scale, self.multipliers(graph, op))
        body.include(c_structs.KERNELS)
        params = body.struct(
            "fg_add_params",
            f"op{op.index}_params",
            {
                "shape": self.broadcast(graph, op).initialiser,
                "sign": self.sign,
                "input_zero": f"{{{zeros[0]}, {zeros[1]}}}",
                "input_scale": f"{{{first}, {second}}}",
                "scale": total,
                "output": c_structs.output(output, self.limits(graph, op)),
            },
        )
        if growth.is_scaled(graph, op):
            params = self._follow(graph, op, body, params)
        sources = (self._pointer(graph, op, i, body) for i in (0, 1))
        body.call("fg_add", params, *sources, body.value(op.outputs[0], "int8_t"))

    def _follow(self, graph: Graph, op: Op, body: Body, params: str) -> str:
        """Writes a copy of the parameters that follows grown scales; returns its address."""
        output, prefix = self._output(graph, op), f"op{op.index}"
        now = body.local("fg_add_params", f"{prefix}_now", f"*{params}")
        if by := growth.change(self._input(graph, op, 0), output):
            body.line(f"{now}.scale.shift += {by};")
        activation = cast("ElementwiseOptions", op.options).activation
        growth.follow_limits(output, activation, body, prefix, now)
        return f"&{now}"
