# SPDX-License-Identifier: Apache-2.0
"""QUANTIZE: float32 to integers, or from one integer quantisation to another."""

from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.base import Operator
from fleetgrad_codegen.ops.fixed_point import Multiplier, quantize_multiplier, scale_twice

RANGES = {
    DType.INT8: (-128, 127),
    DType.UINT8: (0, 255),
    DType.INT16: (-(2**15), 2**15 - 1),
    DType.INT32: (-(2**31), 2**31 - 1),
}

_BYTES = (DType.INT8, DType.UINT8)
_TARGETS = {
    DType.FLOAT32: _BYTES,
    DType.INT8: _BYTES,
    DType.UINT8: _BYTES,
    DType.INT16: (DType.INT8, DType.INT32),
}


class Quantize(Operator):
    """Between integers: two roundings. From float32: division and rounding in float32."""

    kind = "QUANTIZE"
    code = 114
    in_place = (0,)
    options_type = 89

    def multiplier(self, graph: Graph, op: Op) -> Multiplier:
        """From input to output, between integers."""
        source = self._check_quantized(graph, op, self._input(graph, op, 0))
        target = self._check_quantized(graph, op, self._output(graph, op))
        return quantize_multiplier(source.scale[0] / target.scale[0])

    def on_host(self, graph: Graph, op: Op) -> bool:
        """See `Operator.on_host`."""
        ends = (self._input(graph, op, 0), self._output(graph, op))
        return any(tensor.dtype is not DType.INT8 for tensor in ends)

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source, output = self._input(graph, op, 0), self._output(graph, op)
        self._check_shape(graph, op, source.shape)
        if output.dtype not in _TARGETS.get(source.dtype, ()):
            self._unsupported(
                graph,
                op,
                f"{source.dtype} becomes {output.dtype}",
                "float32, int8 or uint8 to int8 or uint8; int16 to int8 or int32",
            )
        for tensor in (source, output):
            if tensor.dtype is DType.FLOAT32:
                continue
            if self._check_quantized(graph, op, tensor).per_channel:
                self._unsupported(graph, op, f'"{tensor.name}" has many scales', "one scale")
        most = 30 - 8 * source.dtype.itemsize  # left shifts of centred values stay within int32
        if source.dtype in RANGES and self.multiplier(graph, op).shift > most:
            self._unsupported(graph, op, "scales too far apart", f"a quotient below 2**{most}")

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        output = self._output(graph, op)
        target = self._check_quantized(graph, op, output)
        if inputs[0].dtype == np.float32:
            ratio = (inputs[0] / np.float32(target.scale[0])).astype(np.float64)
            scaled = np.copysign(np.floor(np.abs(ratio) + 0.5), ratio)
            # Clamped before the zero point is added: the reference converts to int32 in between.
            scaled = np.clip(np.nan_to_num(scaled), -(2.0**30), 2.0**30).astype(np.int64)
        else:
            source = self._check_quantized(graph, op, self._input(graph, op, 0))
            made = self.multiplier(graph, op)
            centred = inputs[0].astype(np.int64) - source.zero_point[0]
            scaled = scale_twice(centred, made.value, made.shift)
        limits = RANGES[output.dtype]
        return [np.clip(scaled + target.zero_point[0], *limits).astype(output.dtype.numpy)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`; the boundary leaves int8 to int8 to the device."""
        source, output = self._input(graph, op, 0), self._output(graph, op)
        body.include(c_structs.KERNELS)
        params = body.struct(
            "fg_quantize_params",
            f"op{op.index}_params",
            {
                "count": output.size,
                "input_zero": c_structs.zero_point(source),
                "scale": c_structs.scale(self.multiplier(graph, op)),
                "output": c_structs.output(output, RANGES[DType.INT8]),
            },
        )
        body.call(
            "fg_quantize",
            params,
            self._pointer(graph, op, 0, body),
            body.value(op.outputs[0], "int8_t"),
        )
