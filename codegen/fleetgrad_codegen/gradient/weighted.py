# SPDX-License-Identifier: Apache-2.0
"""What convolutions and fully connected layers have in common on the way back."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.gradient.base import BACKWARD, GradientRule
from fleetgrad_codegen.gradient.scratch import error_pixels, learn_bytes, matrix_error_bytes
from fleetgrad_codegen.ir import ABSENT, Array, Graph, Op, Quantization, Tensor
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.layer_size import largest_layer_bytes
from fleetgrad_codegen.ops.window import Axis
from fleetgrad_codegen.training.adapter import AdapterRates, adapter_rates
from fleetgrad_codegen.training.convolve import Doubles
from fleetgrad_codegen.training.errors import Ratios, ratios_of
from fleetgrad_codegen.training.fixed_point import Scale, scale_of
from fleetgrad_codegen.training.head import MASTER_UNITS
from fleetgrad_codegen.training.learn import Rates

MOST_TAPS = 1 << 15
"""Weights of an output channel: bias plus sum of products then fits 32 bits."""
MOST_PIXELS = 1 << 16
"""Positions of an output: products of errors and inputs then fit 32 bits."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights on the way back.

    Attributes:
        position: In ``graph.ops``.
        channels: Output channels whose weights train, the first ones.
        ratios: For the errors of its input; None where nobody needs them.
        rates: For its update; None where nothing of it trains.
        adapter: Where its weights train as frozen ones plus a product.
    """

    position: int
    channels: int
    ratios: Ratios | None
    rates: Rates | None
    adapter: AdapterRates | None = None


def quantization(tensor: Tensor) -> Quantization:
    """The quantisation of a tensor that an operator's check has found to have one."""
    if tensor.quantization is None:
        raise ValueError(f"{tensor.name} is not quantised")
    return tensor.quantization


class WeightedRule(GradientRule):
    """A layer with weights and, to be trained, a bias.

    Attributes:
        channel_axis: Dimension of the weights that counts output channels.
        error_kernel: Computes the input's errors.
        learn_kernel: Does the update.
    """

    channel_axis: ClassVar[int]
    error_kernel: ClassVar[str]
    learn_kernel: ClassVar[str]

    @abstractmethod
    def axes(self, graph: Graph, op: Op) -> tuple[Axis, Axis]:
        """Window geometry along height and width."""

    @abstractmethod
    def depth(self, graph: Graph, op: Op) -> int:
        """Channels of the input."""

    @abstractmethod
    def taps(self, graph: Graph, op: Op) -> int:
        """Weights of an output channel."""

    @abstractmethod
    def terms(self, graph: Graph, op: Op) -> int:
        """Most products in the sum for an element of the input."""

    def error_scratch(self, graph: Graph, op: Op) -> int:
        """Bytes of scratch memory that the input's errors take."""
        return matrix_error_bytes(
            *self.axes(graph, op),
            self.depth(graph, op),
            self.channels(graph, op),
            self.error_block(graph, op),
        )

    def error_block(self, graph: Graph, op: Op) -> int:
        """Pixels of the input whose errors are computed together; 0 where nobody asks.

        Their scratch memory is a quarter of what the graph's largest layer takes, at most, but
        that of a few pixels there is always.
        """
        room = largest_layer_bytes(graph) // 4
        channels = self.depth(graph, op), self.channels(graph, op)
        return error_pixels(*self.axes(graph, op), *channels, room)

    def learn_scratch(self, graph: Graph, op: Op) -> int:
        """Bytes of scratch memory that an update of weights takes."""
        pixels = graph.tensors[op.outputs[0]].size // self.channels(graph, op)
        return learn_bytes(pixels, self.taps(graph, op), self.depth(graph, op))

    @abstractmethod
    def errors(self, graph: Graph, op: Op, scaled: Array, weights: Array) -> Doubles:
        """Sums for the input, in its shape.

        Args:
            graph: The graph the operator belongs to.
            op: The operator.
            scaled: Errors of the output in a common unit, in the output's shape.
            weights: int8, in the operator's own layout.
        """

    @abstractmethod
    def gradient(self, graph: Graph, op: Op, errors: Array, centred: Array) -> Doubles:
        """Sums for the weights, [channels, taps].

        Args:
            graph: The graph the operator belongs to.
            op: The operator.
            errors: In the output's shape.
            centred: The input minus its zero point.
        """

    @abstractmethod
    def by_channel(self, weights: Array) -> Array:
        """Weights in the operator's own layout as [channels, taps]."""

    @abstractmethod
    def own_layout(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """The reverse of `by_channel`; ``shape`` is that of the layer's whole weights."""

    def channels(self, graph: Graph, op: Op) -> int:
        """Output channels."""
        return graph.tensors[op.inputs[1]].shape[self.channel_axis]

    def check_trainable(self, graph: Graph, op: Op) -> None:
        """Makes sure that the layer has what trains.

        Raises:
            SchemeError: It has no bias, shares its weights, or is too large.
        """
        where = graph.where(op)
        if len(op.inputs) < 3 or op.inputs[2] == ABSENT:
            raise SchemeError(
                "the layer has no bias to train",
                where,
                "a layer with a bias",
                "export the model with use_bias=True",
            )
        for index in op.inputs[1:3]:
            if sum(other.inputs.count(index) for other in graph.ops) > 1:
                raise SchemeError(
                    f'another operator uses "{graph.tensors[index].name}" as well',
                    where,
                    "weights and bias of its own",
                )
        if self.taps(graph, op) > MOST_TAPS:
            raise SchemeError(
                f"{self.taps(graph, op)} weights per output channel", where, f"at most {MOST_TAPS}"
            )
        pixels = graph.tensors[op.outputs[0]].size // self.channels(graph, op)
        if pixels > MOST_PIXELS:
            raise SchemeError(f"{pixels} positions", where, f"at most {MOST_PIXELS}")

    def weight_scales(self, graph: Graph, op: Op) -> tuple[float, ...]:
        """One scale, or one per output channel."""
        return quantization(graph.tensors[op.inputs[1]]).scale

    def rates(self, graph: Graph, op: Op, layer: int, factor: float) -> Rates:
        """Constants of the update, for errors with a constant factor."""
        source = quantization(graph.tensors[op.inputs[0]]).scale[0]
        scales = self.weight_scales(graph, op)
        return Rates(
            layer,
            weight=tuple(scale_of(factor * source * MASTER_UNITS / s) for s in scales),
            bias=tuple(scale_of(factor / (source * s)) for s in scales),
        )

    def adapter(
        self, graph: Graph, op: Op, rates: Rates, *, rank: int, factor: float
    ) -> AdapterRates:
        """Constants of a low-rank adapter, for errors with a constant factor.

        Raises:
            SchemeError: The layer is neither fully connected nor a 1x1 convolution.
        """
        if self.channel_axis or self.taps(graph, op) != self.depth(graph, op):
            self._refuse(
                graph,
                op,
                "a low-rank adapter on windows of several pixels",
                "a fully connected layer or a 1x1 convolution",
            )
        channels = self.channels(graph, op)
        scales = [scale * factor for scale in self.weight_scales(graph, op)]
        return adapter_rates(
            rates,
            ratios_of(scales, terms=1, wide=False),
            rank=rank,
            inputs=self.taps(graph, op),
            pixels=graph.tensors[op.outputs[0]].size // channels,
            input_scale=quantization(graph.tensors[op.inputs[0]]).scale[0],
        )

    def struct(self, graph: Graph, op: Op, layer: Layer, body: Body) -> str:
        """The address of the ``fg_backward``."""
        where, prefix = graph.where(op), f"back{op.index}"
        body.include(BACKWARD)
        return body.struct(
            "fg_backward",
            prefix,
            {
                "window": c_structs.window(*self.axes(graph, op), where),
                "in_channels": c_structs.int16(self.depth(graph, op), "input channels", where),
                "out_channels": c_structs.int16(self.channels(graph, op), "output channels", where),
                "trained": layer.channels,
                "block": self.error_block(graph, op),
                "input_zero": c_structs.zero_point(graph.tensors[op.inputs[0]]),
                "ratio": ratio_initialiser(layer.ratios, prefix, body),
                "rates": rates_initialiser(layer.rates, prefix, body),
            },
        )

    def split_weights(self, graph: Graph, op: Op, layer: Layer, body: Body) -> str:
        """A pointer to an ``fg_split_weights``."""
        trained = body.trained(op.inputs[1]) if layer.channels else "NULL"
        frozen = self.frozen_table(graph, op, layer.channels, body)
        return f"&(const fg_split_weights){{{trained}, {frozen}}}"

    def frozen_table(self, graph: Graph, op: Op, channels: int, body: Body) -> str:
        """The name of the table of weights behind the first channels; NULL where there is none."""
        if channels == self.channels(graph, op):
            return "NULL"
        weights = graph.tensors[op.inputs[1]].data
        assert weights is not None
        rest = np.take(weights, range(channels, self.channels(graph, op)), self.channel_axis)
        return body.table(f"op{op.index}_weights", rest)


def rates_initialiser(rates: Rates | None, prefix: str, body: Body, growth: str = "") -> str:
    """An ``fg_rates``; the tables are NULL where nothing trains.

    Args:
        rates: The constants.
        prefix: Of the names of tables.
        body: Takes the tables.
        growth: The C of the exponent by which the input's scale has grown, if it may.
    """
    if rates is None:
        return "{0U, 0, NULL, NULL, 0}"
    weight = body.structs("fg_scale", f"{prefix}_rate", [_scale(s) for s in rates.weight])
    bias = "NULL"
    if rates.bias:
        bias = body.structs("fg_scale", f"{prefix}_bias_rate", [_scale(s) for s in rates.bias])
    step = int(len(rates.weight) > 1)
    fields = f".layer = {rates.layer}U, .step = {step}, .weight = {weight}, .bias = {bias}"
    return f"{{{fields}, .growth = {growth}}}" if growth else f"{{{fields}}}"


def ratio_initialiser(ratios: Ratios | None, prefix: str, body: Body) -> str:
    """An ``fg_error_ratio``."""
    if ratios is None:
        return "{NULL, 0, 1, 0}"
    value = body.table(f"{prefix}_ratio", np.array(ratios.values, np.int16))
    step = int(len(ratios.values) > 1)
    return (
        f"{{.value = {value}, .step = {step}, .shift = {ratios.shift}, "
        f".exponent = {ratios.exponent}}}"
    )


def _scale(scale: Scale) -> dict[str, str | int]:
    return {"mantissa": scale.mantissa, "exponent": scale.exponent}
