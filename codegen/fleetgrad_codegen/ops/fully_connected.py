# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED: rows of n values with weights [o, n] to rows of o values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs, growth
from fleetgrad_codegen.ops.activation import Activation, activation_range, parse_activation
from fleetgrad_codegen.ops.fixed_point import WideMultiplier, scale_once, wide_multiplier
from fleetgrad_codegen.ops.weighted import WeightedOperator, bias_values, output_factors
from fleetgrad_codegen.plan.buffers import Region


@dataclass(frozen=True, slots=True)
class FullyConnectedOptions:
    """Options of FULLY_CONNECTED."""

    activation: Activation


class FullyConnected(WeightedOperator):
    """Matrix product; accumulators are rounded once, unlike a convolution's."""

    kind = "FULLY_CONNECTED"
    code = 9
    options_type = 8
    channel_axis = 0

    def parse(self, options: Table | None) -> FullyConnectedOptions:
        """Reads the schema's FullyConnectedOptions; the output tensor tells the number of dims."""
        if options is None:
            return FullyConnectedOptions(Activation.NONE)
        if options.i8(1):
            raise UnsupportedError(
                "the weights are stored shuffled (SHUFFLED4x16INT8)", expected="the default format"
            )
        return FullyConnectedOptions(parse_activation(options.i8(0)))

    def multipliers(self, graph: Graph, op: Op) -> list[WideMultiplier]:
        """From accumulator to output: one per output, or a single one for all."""
        source, weights = self._input(graph, op, 0), self._input(graph, op, 1)
        factors = output_factors(source, weights, self._output(graph, op), 1)
        return [wide_multiplier(factor) for factor in factors]

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source, weights = self._input(graph, op, 0), self._input(graph, op, 1)
        output = self._output(graph, op)
        self._check_int8(graph, op, source)
        self._check_int8(graph, op, output)
        self._check_weights(graph, op, 2)
        channels, depth = weights.shape
        if source.size % depth:
            self._malformed(
                graph,
                op,
                f'input "{source.name}" of shape {source.shape} has {source.size} values',
                f"a multiple of {depth}, the weights' second dimension",
            )
        if output.size != source.size // depth * channels or output.shape[-1:] != (channels,):
            self._check_shape(graph, op, (source.size // depth, channels))
        self.multipliers(graph, op)

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        options = op.options
        assert isinstance(options, FullyConnectedOptions)
        output = self._output(graph, op)
        channels, depth = inputs[1].shape
        rows = self._centred(graph, op, inputs[0]).reshape(-1, depth)
        acc = (rows @ inputs[1].astype(np.float64).T).astype(np.int64)
        acc = acc + bias_values(inputs[2:], channels)
        made = np.array([(m.high, m.low, m.shift) for m in self.multipliers(graph, op)], np.int64)
        zero = self._check_quantized(graph, op, output).zero_point[0]
        scaled = scale_once(acc, made[:, 0], made[:, 1], made[:, 2]) + zero
        clamped = np.clip(scaled, *activation_range(options.activation, output))
        return [clamped.astype(np.int8).reshape(output.shape)]

    def can_grow(self, graph: Graph, op: Op, by: int) -> bool:
        """See `Operator.can_grow`; factors below a half keep results within 32 bits."""
        tensors = (self._input(graph, op, 0), self._input(graph, op, 1), self._output(graph, op))
        for factor, made in zip(
            output_factors(*tensors, 1), self.multipliers(graph, op), strict=True
        ):
            grown = wide_multiplier(factor * 2.0**by)
            if grown != WideMultiplier(made.high, made.low, made.shift - by) or grown.shift < 32:
                return False
        return True

    def grown_scale(self, graph: Graph, op: Op) -> Region | None:
        """See `WeightedOperator.grown_scale`: an ``fg_wide_scale`` for each factor."""
        if not growth.change(self._input(graph, op, 0), self._output(graph, op)):
            return None
        return Region(f"op{op.index} grown scales", 12 * len(self.multipliers(graph, op)))

    def macs(self, graph: Graph, op: Op) -> int:
        """See `Operator.macs`."""
        return self._output(graph, op).size * self._input(graph, op, 1).shape[1]

    def params(self, graph: Graph, op: Op, body: Body) -> str:
        """The address of the kernel's parameters."""
        output = self._output(graph, op)
        channels, depth = self._input(graph, op, 1).shape
        made = self.multipliers(graph, op)
        scales = body.structs(
            "fg_wide_scale",
            f"op{op.index}_scale",
            [{"high": m.high, "low": m.low, "shift": m.shift} for m in made],
        )
        options = cast("FullyConnectedOptions", op.options)
        limits = activation_range(options.activation, output)
        body.include(c_structs.KERNELS)
        params = body.struct(
            "fg_fully_connected_params",
            f"op{op.index}_params",
            {
                "rows": output.size // channels,
                "inputs": depth,
                "outputs": channels,
                "scale": scales,
                "scale_step": int(len(made) > 1),
                "output": c_structs.output(output, limits),
            },
        )
        if not growth.is_scaled(graph, op):
            return params
        now = body.local("fg_fully_connected_params", f"op{op.index}_now", f"*{params}")
        region = self.grown_scale(graph, op)
        if region is not None:
            by = growth.change(self._input(graph, op, 0), output)
            address = body.address(region, "fg_wide_scale")
            body.include(growth.HEADER)
            body.line(f"{now}.scale = fg_grow_scales({now}.scale, {len(made)}U, {by}, {address});")
        growth.follow_limits(output, options.activation, body, f"op{op.index}", now)
        return f"&{now}"

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        body.call(
            "fg_fully_connected",
            self.params(graph, op, body),
            *self._emit_weights(graph, op, body),
            self._pointer(graph, op, 0, body),
            body.value(op.outputs[0], "int8_t"),
        )
