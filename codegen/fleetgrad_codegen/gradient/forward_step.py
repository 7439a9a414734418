# SPDX-License-Identifier: Apache-2.0
"""An operator of the forward pass that trains, or leaves something for the way back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.forward import OperatorStep, comment_operator, scratch_of
from fleetgrad_codegen.gradient.base import BACKWARD
from fleetgrad_codegen.gradient.part import part_of
from fleetgrad_codegen.gradient.tape import Mask, plain_rule, weighted_rule
from fleetgrad_codegen.gradient.weighted import Layer, WeightedRule
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops import REGISTRY, growth
from fleetgrad_codegen.ops.base import Operator
from fleetgrad_codegen.ops.convolution import Convolution
from fleetgrad_codegen.ops.depthwise_conv_2d import DepthwiseConv2D, PlainDepthwiseConv2D
from fleetgrad_codegen.ops.fully_connected import FullyConnected
from fleetgrad_codegen.ops.weighted import WeightedOperator
from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.program import Entry, Step


@dataclass(frozen=True, slots=True)
class ForwardStep(Step):
    """An operator of the forward pass, and what it leaves for the way back.

    Attributes:
        graph: The graph.
        position: Of the operator.
        plain: The operator's own step.
        values: Region of every tensor computed at run time.
        layer: How it trains; None where it does not.
        mask: To keep of its output, as bits; None for none.
        routes: To note down; None for none.
    """

    graph: Graph
    position: int
    plain: OperatorStep
    values: Mapping[int, Region]
    layer: Layer | None
    mask: Mask | None
    routes: Region | None

    @property
    def name(self) -> str:
        """Same as the operator's own step."""
        return self.plain.name

    @property
    def entries(self) -> frozenset[Entry]:
        """The forward pass."""
        return self.plain.entries

    @property
    def regions(self) -> tuple[Region, ...]:
        """The operator's, the folded bias, mask and routes."""
        bits = None if self.mask is None else self.mask.bits
        extra = (
            self._scratch,
            self._folded,
            self._scale,
            self._first,
            self._joined,
            bits,
            self.routes,
        )
        found = REGISTRY[self._op.kind]
        scratch = scratch_of(found, self.graph, self._op, self.values)
        own = (scratch, *found.growth_regions(self.graph, self._op))
        used = [region for region in self.plain.regions if self.layer is None or region not in own]
        return tuple(dict.fromkeys((*used, *(r for r in extra if r is not None))))

    @property
    def _operator(self) -> Operator:
        """What computes a layer that trains: kernels that take weights as they are."""
        found = REGISTRY[self._op.kind]
        return PlainDepthwiseConv2D() if isinstance(found, DepthwiseConv2D) else found

    @property
    def _scratch(self) -> Region | None:
        if self.layer is None:
            return None
        return scratch_of(self._operator, self.graph, self._op, self.values)

    @property
    def _scale(self) -> Region | None:
        operator = self._operator
        if self.layer is None or not isinstance(operator, WeightedOperator):
            return None
        return operator.grown_scale(self.graph, self._op)

    @property
    def _op(self) -> Op:
        return self.graph.ops[self.position]

    @property
    def _rule(self) -> WeightedRule:
        return weighted_rule(self.graph, self.position)

    @property
    def _channels(self) -> int:
        return self._rule.channels(self.graph, self._op)

    @property
    def _folded(self) -> Region | None:
        if self.layer is None:
            return None
        return Region(f"bias of op {self._op.index}", 4 * self._channels)

    @property
    def _is_split(self) -> bool:
        """Whether some channels train and others do not: these have weights elsewhere."""
        return self.layer is not None and self.layer.channels not in {0, self._channels}

    @property
    def _joined(self) -> Region | None:
        """Weights of all channels of a depthwise convolution, which cannot compute a part."""
        if not self._is_split or not isinstance(self._operator, DepthwiseConv2D):
            return None
        taps = self._rule.taps(self.graph, self._op)
        return Region(f"weights of op {self._op.index}", taps * self._channels)

    @property
    def _first(self) -> Region | None:
        """What the channels that train give, where each part is computed by itself."""
        if self.layer is None or not self._is_split or self._joined is not None:
            return None
        pixels = self.graph.tensors[self._op.outputs[0]].size // self._channels
        return Region(f"first channels of op {self._op.index}", pixels * self.layer.channels)

    @property
    def shadows(self) -> tuple[int, ...]:
        """The layer's weights, if any of them train."""
        return (self._op.inputs[1],) if self.layer is not None and self.layer.channels else ()

    def alone(self) -> Step:
        """The operator without mask and routes."""
        return replace(self, mask=None, routes=None)

    def emit(self, body: Body) -> None:
        """Writes the operator, between what it leaves of its input and of its output."""
        graph, op = self.graph, self._op
        if self.routes is not None:
            plain_rule(graph, self.position).emit_route(graph, op, body, self.routes)
        if self.layer is None:
            self.plain.emit(body)
        else:
            comment_operator(graph, op, self.name, body)
            with body.scope():
                self._emit_trained(body, self.layer)
        if self.mask is not None and self.mask.bits is not None:
            mask = self.mask
            body.include(BACKWARD)
            body.call(
                "fg_mask_keep",
                body.value(self.mask.tensor, "const int8_t"),
                f"{graph.tensors[self.mask.tensor].size}U",
                *growth.clamp_ends(graph, mask.tensor, mask.activation, body),
                body.address(self.mask.bits, "uint8_t"),
            )

    def _emit_trained(self, body: Body, layer: Layer) -> None:
        """The layer with its weights from the shadow and its bias from the parameters.

        Kernels want the bias with the input's zero point folded in; as both may have changed, that
        is done anew each time.
        """
        graph, op, folded, first = self.graph, self._op, self._folded, self._first
        assert folded is not None
        made = body.value(op.outputs[0], "int8_t")
        trained, channels = range(layer.channels), range(layer.channels, self._channels)
        if self._joined is not None:
            weights = self._join(body, layer, folded, self._joined)
            self._call(body, range(self._channels), weights, folded, made)
            return
        if trained:
            weights = self._fold_trained(body, layer, folded)
            into = made if first is None else body.address(first, "int8_t")
            self._call(body.part("_trained"), trained, weights, folded, into)
        if channels:
            weights = self._rule.frozen_table(graph, op, layer.channels, body)
            self._fold_frozen(body, channels, folded)
            self._call(body.part("_frozen"), channels, weights, folded, made)
        if first is not None:
            body.call(
                "fg_interleave",
                f"{first.nbytes // len(trained)}U",
                f"{len(trained)}U",
                f"{len(channels)}U",
                body.address(first, "const int8_t"),
                made,
            )

    def _join(self, body: Body, layer: Layer, folded: Region, joined: Region) -> str:
        """Writes the folding of all biases, and puts all weights side by side; returns where."""
        taps, frozen = self._rule.taps(self.graph, self._op), self._channels - layer.channels
        trained = self._fold_trained(body, layer, folded)
        self._fold_frozen(body, range(layer.channels, self._channels), folded)
        table = self._rule.frozen_table(self.graph, self._op, layer.channels, body)
        weights = body.address(joined, "int8_t")
        pitch = self._channels
        body.call("fg_copy_columns", trained, taps, layer.channels, weights, pitch)
        body.call("fg_copy_columns", table, taps, frozen, _advanced(weights, layer.channels), pitch)
        return weights

    def _call(self, body: Body, channels: range, weights: str, folded: Region, made: str) -> None:
        """Writes the call of the operator's kernel for some output channels."""
        graph, op, operator = self.graph, self._op, self._operator
        if len(channels) < self._channels:
            graph = part_of(graph, op, self._rule, channels)
        bias = _advanced(body.address(folded, "const int32_t"), channels.start)
        if isinstance(operator, Convolution):
            params = operator.params(graph, op, body)
            operator.call_kernel(graph, op, body, (operator.kernel, params, weights, bias), made)
        elif isinstance(operator, FullyConnected):
            params = operator.params(graph, op, body)
            source = body.value(op.inputs[0], "const int8_t")
            body.call("fg_fully_connected", params, weights, bias, source, made)
        else:
            raise SchemeError(f"{op.kind} cannot train", graph.where(op))

    def _fold_trained(self, body: Body, layer: Layer, folded: Region) -> str:
        """Writes the folding of the bias into weights that train; returns where these are."""
        op, rule = self._op, self._rule
        taps, channels = rule.taps(self.graph, op), f"{layer.channels}U"
        weights = body.trained(op.inputs[1])
        body.include(BACKWARD)
        body.call(
            "fg_fold_bias",
            body.trained(op.inputs[2]),
            weights,
            _zero_point(self.graph, op),
            channels,
            f"{taps}U",
            *(("1U", channels) if rule.channel_axis else (f"{taps}U", "1U")),
            body.address(folded, "int32_t"),
        )
        return weights

    def _fold_frozen(self, body: Body, channels: range, folded: Region) -> None:
        """The same for weights that do not train: their sums are constant."""
        graph, op = self.graph, self._op
        data = graph.tensors[op.inputs[1]].data
        assert data is not None
        sums = self._rule.by_channel(data)[channels.start :].astype(np.int64).sum(axis=1)
        constant = body.table(
            f"op{op.index}_fold", (-_zero_point(graph, op) * sums).astype(np.int32)
        )
        body.include(BACKWARD)
        body.call(
            "fg_add_bias",
            _advanced(body.trained(op.inputs[2]), channels.start),
            constant,
            f"{len(channels)}U",
            _advanced(body.address(folded, "int32_t"), channels.start),
        )


def _advanced(pointer: str, elements: int) -> str:
    return f"{pointer} + {elements}" if elements else pointer


def _zero_point(graph: Graph, op: Op) -> int:
    found = graph.tensors[op.inputs[0]].quantization
    assert found is not None
    return found.zero_point[0]
