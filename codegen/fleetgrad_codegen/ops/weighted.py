# SPDX-License-Identifier: Apache-2.0
"""What convolutions and fully connected layers have in common: weights, bias, requantisation."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, DType, Graph, Op, Tensor
from fleetgrad_codegen.ops import c_structs, growth
from fleetgrad_codegen.ops.activation import Activation, activation_range
from fleetgrad_codegen.ops.base import Operator, Scaling
from fleetgrad_codegen.ops.fixed_point import (
    SCALED_LIMIT,
    Multiplier,
    per_channel,
    quantize_multiplier,
    scale_twice,
    wrap_int32,
)
from fleetgrad_codegen.plan.buffers import Region


class WeightedOperator(Operator):
    """An operator with inputs (data, weights, bias or nothing).

    Attributes:
        channel_axis: Dimension of the weights that counts output channels.
    """

    arity = (2, 3)
    scaling = Scaling.FREE
    channel_axis: ClassVar[int]

    def _check_weights(self, graph: Graph, op: Op, rank: int) -> None:
        """Weights and bias are constant, symmetric int8 and int32, and cannot overflow int32."""
        weights = self._input(graph, op, 1)
        self._constant(graph, op, 1, "weights")
        self._check_rank(graph, op, weights, rank)
        if weights.dtype is DType.UINT8:
            self._unsupported(
                graph,
                op,
                f'weights "{weights.name}" are uint8: the asymmetric scheme of 2018',
                "symmetric int8 weights",
                "convert the float model again with a current TensorFlow",
            )
        if weights.dtype is not DType.INT8:
            self._unsupported(
                graph, op, f'weights "{weights.name}" are {weights.dtype}', "int8 weights"
            )
        quantization = self._check_quantized(graph, op, weights)
        channels = weights.shape[self.channel_axis]
        if quantization.per_channel and (
            quantization.axis != self.channel_axis or len(quantization.scale) != channels
        ):
            self._malformed(
                graph,
                op,
                f'weights "{weights.name}" have {len(quantization.scale)} scales along dimension '
                f"{quantization.axis}",
                f"one scale, or {channels} along dimension {self.channel_axis}",
            )
        if any(quantization.zero_point):
            self._unsupported(
                graph,
                op,
                f'weights "{weights.name}" have zero point {quantization.zero_point[0]}',
                "symmetric weights, with zero point 0",
                "convert the float model again with a current TensorFlow",
            )
        self._check_bias(graph, op, channels)

    def _check_bias(self, graph: Graph, op: Op, channels: int) -> None:
        bias = self._optional(graph, op, 2)
        if bias is not None:
            self._constant(graph, op, 2, "bias values")
            if bias.dtype is not DType.INT32:
                self._unsupported(graph, op, f'bias "{bias.name}" is {bias.dtype}', "int32 bias")
            if bias.size != channels:
                self._malformed(
                    graph,
                    op,
                    f'bias "{bias.name}" has {bias.size} values',
                    f"{channels}, one per output channel",
                )
        self._check_overflow(graph, op, channels)

    def _largest_sums(self, graph: Graph, op: Op) -> Array:
        """A bound of each output channel's accumulators, whatever the input: int64 [channels]."""
        weights = self._constant(graph, op, 1, "weights")
        other = tuple(i for i in range(weights.ndim) if i != self.channel_axis)
        products: Array = 255 * np.abs(weights.astype(np.int64)).sum(axis=other)
        return products + np.abs(self._bias(graph, op, products.size))

    def _check_overflow(self, graph: Graph, op: Op, channels: int) -> None:
        largest = self._largest_sums(graph, op)
        tensors = (self._input(graph, op, 0), self._input(graph, op, 1), self._output(graph, op))
        scaled = largest * np.array(output_factors(*tensors, channels))
        for values, limit, name in ((largest, 2**31, "sum"), (scaled, SCALED_LIMIT, "output")):
            if values.max(initial=0) >= limit:
                self._unsupported(
                    graph,
                    op,
                    f"output channel {int(values.argmax())} can overflow: its {name} may reach "
                    f"{values.max():g}",
                    f"less than {limit}",
                    "check the calibration data: some scale is far too small",
                )

    def _bias(self, graph: Graph, op: Op, channels: int) -> Array:
        """The constant bias as int64, zeros where there is none."""
        bias = self._optional(graph, op, 2)
        return bias_values([] if bias is None or bias.data is None else [bias.data], channels)

    def _emit_weights(self, graph: Graph, op: Op, body: Body) -> tuple[str, str]:
        """Tables of the weights, and of the bias with the input's zero point folded in.

        A sum of w * (x - z) is the sum of w * x, less z times the sum of w. Kernels add modulo
        2**32, so a folded bias that leaves int32 still leads to the right sum. Where the input's
        scale may grow, the bias is halved and folded anew each time.
        """
        if body.is_trained(op.inputs[1]):
            raise ValueError("a trained operator is emitted by its scheme")
        weights = self._constant(graph, op, 1, "weights")
        other = tuple(i for i in range(weights.ndim) if i != self.channel_axis)
        sums = weights.astype(np.int64).sum(axis=other)
        fold = -c_structs.zero_point(self._input(graph, op, 0)) * sums
        bias, prefix = self._bias(graph, op, sums.size), f"op{op.index}"
        table = body.table(f"{prefix}_weights", self._arranged(graph, op, weights))
        grown = self.grown_bias(graph, op)
        if grown is None:
            return table, body.table(f"{prefix}_bias", wrap_int32(bias + fold).astype(np.int32))
        body.include(growth.HEADER)
        body.call(
            "fg_grow_bias",
            body.table(f"{prefix}_bias", bias.astype(np.int32)),
            body.table(f"{prefix}_fold", wrap_int32(fold).astype(np.int32)),
            f"{bias.size}U",
            growth.exponent(self._input(graph, op, 0)),
            body.address(grown, "int32_t"),
        )
        return table, body.address(grown, "const int32_t")

    def grown_bias(self, graph: Graph, op: Op) -> Region | None:
        """Memory of a constant bias whose unit may grow, or None."""
        bias = self._optional(graph, op, 2)
        if bias is None or self._input(graph, op, 0).range is None:
            return None
        return Region(f"op{op.index} grown bias", 4 * bias.size)

    @abstractmethod
    def grown_scale(self, graph: Graph, op: Op) -> Region | None:
        """Memory of factors to the output that may grow, or None."""

    def growth_regions(self, graph: Graph, op: Op) -> tuple[Region, ...]:
        """See `Operator.growth_regions`."""
        found = (self.grown_bias(graph, op), self.grown_scale(graph, op))
        return tuple(region for region in found if region is not None)

    def _arranged(self, graph: Graph, op: Op, weights: Array) -> Array:  # noqa: ARG002
        """The weights in the order in which the kernel reads them."""
        return weights

    def _centred(self, graph: Graph, op: Op, values: Array) -> Array:
        """Input minus its zero point, as float64.

        Sums of products of these stay far below 2**53, so float64 matrix products are exact and
        run on BLAS, which integer ones do not.
        """
        zero = self._check_quantized(graph, op, self._input(graph, op, 0)).zero_point[0]
        centred: Array = values.astype(np.float64) - zero
        return centred


def bias_values(given: Sequence[Array], channels: int) -> Array:
    """Bias as int64 [channels]: zeros where none, or an empty one, is given."""
    if not given or not given[0].size:
        return np.zeros(channels, np.int64)
    return given[0].reshape(-1).astype(np.int64)


def output_factors(source: Tensor, weights: Tensor, output: Tensor, channels: int) -> list[float]:
    """Real factor from accumulator to output, per channel, in the reference's double arithmetic."""
    if source.quantization is None or weights.quantization is None or output.quantization is None:
        raise ValueError("only quantised tensors have output factors")
    scales = weights.quantization.scale
    if len(scales) == 1:
        scales = scales * channels
    return [source.quantization.scale[0] * s / output.quantization.scale[0] for s in scales]


def output_multipliers(
    source: Tensor, weights: Tensor, output: Tensor, channels: int
) -> list[Multiplier]:
    """The factors of ``output_factors`` as `Multiplier`, as convolutions use them."""
    return [quantize_multiplier(f) for f in output_factors(source, weights, output, channels)]


def requantize_twice(
    acc: Array, multipliers: list[Multiplier], output: Tensor, activation: Activation
) -> Array:
    """int32 accumulators to int8 outputs, the way of convolutions: two roundings, then a clamp.

    Args:
        acc: [..., channels], integers of any dtype.
        multipliers: One per channel.
        output: The int8 tensor that results.
        activation: Fused activation.

    Returns:
        int8 array of the same shape.
    """
    if output.quantization is None:
        raise ValueError("only a quantised tensor can be requantised to")
    value, shift = per_channel(multipliers)
    scaled = scale_twice(acc.astype(np.int64), value, shift) + output.quantization.zero_point[0]
    low, high = activation_range(activation, output)
    return np.asarray(scaled).clip(low, high).astype(np.int8)
