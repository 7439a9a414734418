# SPDX-License-Identifier: Apache-2.0
"""SVDF: a matrix product whose results of the last few runs are weighted over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.activation import Activation, parse_activation
from fleetgrad_codegen.ops.fixed_point import (
    SCALED_LIMIT,
    Multiplier,
    quantize_multiplier,
    scale_twice,
    wrap_int32,
)
from fleetgrad_codegen.ops.stateful import Stateful

_FEATURE, _TIME, _BIAS, _STATE = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class SvdfOptions:
    """Options of SVDF.

    Attributes:
        rank: Filters that add up to one output.
        activation: RELU or none; the quantised reference clamps to int8 either way.
    """

    rank: int
    activation: Activation


class Svdf(Stateful):
    """State [filters, memory]: one row per filter, the latest value last.

    Time weights and state are int16, or int8 in older models. Sums over time wrap at 32 bits, as in
    the reference: int16 weights use their whole range, so that no bound could rule it out.
    """

    kind = "SVDF"
    code = 27
    options_type = 6
    arity = (5, 5)
    state = (_STATE,)

    def parse(self, options: Table | None) -> SvdfOptions:
        """Reads the schema's SVDFOptions."""
        table = self._require_options(options)
        return SvdfOptions(table.i32(0), parse_activation(table.i8(1)))

    def multipliers(self, graph: Graph, op: Op) -> tuple[Multiplier, Multiplier]:
        """From features to state, and from sums over time to output; factors are float32."""
        source, feature, time, state = (
            self._input(graph, op, i) for i in (0, _FEATURE, _TIME, _STATE)
        )
        into = self._check_quantized(graph, op, state).scale[0]
        out = self._check_quantized(graph, op, self._output(graph, op)).scale[0]
        return (
            quantize_multiplier(self._float32_factor(graph, op, (source, feature), into)),
            quantize_multiplier(self._float32_factor(graph, op, (state, time), out)),
        )

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        options = cast("SvdfOptions", op.options)
        source, output = self._input(graph, op, 0), self._output(graph, op)
        feature, time = self._input(graph, op, _FEATURE), self._input(graph, op, _TIME)
        self._check_int8(graph, op, source)
        self._check_int8(graph, op, output)
        for tensor in (source, feature, time, output):
            self._check_rank(graph, op, tensor, 2)
        if options.activation not in (Activation.NONE, Activation.RELU):
            self._unsupported(graph, op, f"{options.activation.name} behind it", "RELU or none")
        filters, memory = time.shape
        if options.rank < 1 or filters % options.rank:
            self._malformed(graph, op, f"{filters} filters of rank {options.rank}", "a multiple")
        if source.shape[0] != 1 or feature.shape != (filters, source.shape[1]):
            self._malformed(
                graph,
                op,
                f"input {source.shape}, feature weights {feature.shape}, time weights {time.shape}",
                "(1, inputs), (filters, inputs), (filters, memory)",
            )
        self._check_shape(graph, op, (1, filters // options.rank))
        self._check_weights(graph, op, _FEATURE, (DType.INT8,), "feature weights")
        self._check_weights(graph, op, _TIME, (DType.INT8, DType.INT16), "time weights")
        self._check_state(graph, op, _STATE, filters * memory, (time.dtype,))
        bias = self._input(graph, op, _BIAS)
        self._constant(graph, op, _BIAS, "bias values")
        if bias.dtype is not DType.INT32 or bias.size != filters // options.rank:
            self._malformed(
                graph, op, f'bias "{bias.name}" is {bias.dtype} {bias.shape}', "int32, one per unit"
            )
        self._check_overflow(graph, op)

    def _check_weights(
        self, graph: Graph, op: Op, position: int, dtypes: tuple[DType, ...], what: str
    ) -> None:
        tensor = self._input(graph, op, position)
        self._constant(graph, op, position, what)
        if tensor.dtype not in dtypes:
            self._unsupported(graph, op, f"{what} are {tensor.dtype}", " or ".join(dtypes))
        quantization = self._check_quantized(graph, op, tensor)
        if quantization.per_channel or quantization.zero_point[0]:
            self._unsupported(
                graph,
                op,
                f"{what} have {len(quantization.scale)} scales, zero point "
                f"{quantization.zero_point[0]}",
                "one scale, zero point 0",
            )

    def _check_overflow(self, graph: Graph, op: Op) -> None:
        weights = self._constant(graph, op, _FEATURE, "feature weights").astype(np.int64)
        largest = 255 * int(np.abs(weights).sum(axis=1).max())
        features, outputs = self.multipliers(graph, op)
        scaled = largest * 2.0**features.shift
        if largest >= 2**31 or scaled >= SCALED_LIMIT or outputs.shift > 0:
            self._unsupported(
                graph,
                op,
                f"a filter can overflow: its sum may reach {largest}, scaled {scaled:g}",
                f"less than 2**31, scaled {SCALED_LIMIT}; an output factor below 1",
                "check the calibration data: some scale is far too small",
            )

    def macs(self, graph: Graph, op: Op) -> int:
        """See `Operator.macs`."""
        return self._input(graph, op, _FEATURE).size + self._input(graph, op, _TIME).size

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`; the state follows the output."""
        source, feature, time, bias, old = inputs
        held, output = self._input(graph, op, _STATE), self._output(graph, op)
        first, second = self.multipliers(graph, op)
        centred = source.astype(np.int64) - c_structs.zero_point(self._input(graph, op, 0))
        made = scale_twice(feature.astype(np.int64) @ centred[0], first.value, first.shift)
        zero = c_structs.zero_point(held)
        limits = np.iinfo(held.dtype.numpy)
        rows = old.reshape(time.shape)
        latest = np.clip(made + zero, limits.min, limits.max).astype(held.dtype.numpy)
        rows = np.concatenate([rows[:, 1:], latest[:, None]], axis=1)
        sums = (time.astype(np.int64) * (rows.astype(np.int64) - zero)).sum(axis=1)
        total = wrap_int32(sums.reshape(bias.size, -1).sum(axis=1) + bias.reshape(-1))
        scaled = scale_twice(total, second.value, second.shift) + c_structs.zero_point(output)
        result = np.clip(scaled, -128, 127).astype(np.int8)
        return [result.reshape(output.shape), rows.reshape(held.shape)]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        feature = self._constant(graph, op, _FEATURE, "feature weights")
        time = self._constant(graph, op, _TIME, "time weights")
        held, output = self._input(graph, op, _STATE), self._output(graph, op)
        zero = c_structs.zero_point(held)
        first, second = map(c_structs.scale, self.multipliers(graph, op))
        rank = cast("SvdfOptions", op.options).rank
        body.include(c_structs.KERNELS)
        params = body.struct(
            "fg_svdf_params",
            f"op{op.index}_params",
            {
                "inputs": feature.shape[1],
                "units": output.size,
                "rank": rank,
                "memory": time.shape[1],
                "feature_scale": first,
                "state_zero": zero,
                "scale": second,
                "output": c_structs.output(output, (-128, 127)),
            },
        )
        source_zero = c_structs.zero_point(self._input(graph, op, 0))
        folded = wrap_int32(-source_zero * feature.astype(np.int64).sum(axis=1))
        bias = self._constant(graph, op, _BIAS, "bias values").reshape(-1).astype(np.int64)
        bias = wrap_int32(bias - zero * time.astype(np.int64).reshape(output.size, -1).sum(axis=1))
        ctype = "int16_t" if held.dtype is DType.INT16 else "int8_t"
        body.call(
            "fg_svdf16" if held.dtype is DType.INT16 else "fg_svdf8",
            params,
            body.table(f"op{op.index}_feature", feature),
            body.table(f"op{op.index}_feature_bias", folded.astype(np.int32)),
            body.table(f"op{op.index}_time", time),
            body.table(f"op{op.index}_bias", bias.astype(np.int32)),
            self._pointer(graph, op, 0, body),
            body.variable(op.inputs[_STATE], ctype),
            body.value(op.outputs[0], "int8_t"),
        )
