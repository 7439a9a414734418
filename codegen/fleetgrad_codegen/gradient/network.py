# SPDX-License-Identifier: Apache-2.0
"""Training of any part of a network, one sample at a time: the executable specification.

Runs the forward pass as the exported model does, and the tape backwards. The generated C computes
the same, bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fleetgrad_codegen.gradient.base import MoveRule
from fleetgrad_codegen.gradient.tape import (
    Back,
    Learn,
    Mask,
    Merge,
    Tape,
    plain_rule,
    weighted_rule,
)
from fleetgrad_codegen.gradient.weighted import quantization
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import run_ops
from fleetgrad_codegen.training import update as head_update
from fleetgrad_codegen.training.adapter import Adapter, initial_adapter, learn_adapter, merged
from fleetgrad_codegen.training.errors import LOSS_EXPONENT, Errors, merge, shrink
from fleetgrad_codegen.training.fixed_point import Ints, LearningRate
from fleetgrad_codegen.training.head import MASTER_UNITS, Head
from fleetgrad_codegen.training.learn import learn_bias, learn_weights
from fleetgrad_codegen.training.local import LocalPlan, batches, check_labels
from fleetgrad_codegen.training.loss import loss_and_gradient
from fleetgrad_codegen.training.update import BIAS_LIMIT, MASTER_LIMIT, shadow_of


@dataclass(frozen=True, slots=True, eq=False)
class LayerParameters:
    """What trains of one layer.

    Attributes:
        bias: int32 values [channels].
        masters: int16 values [trained channels, taps]; none with an adapter.
        adapter: The difference to frozen weights; None without one.
    """

    bias: Ints
    masters: Ints
    adapter: Adapter | None = None

    def arrays(self) -> tuple[Ints, ...]:
        """What follows the biases in the parameter vector."""
        if self.adapter is None:
            return (self.masters,)
        return self.adapter.down, self.adapter.up


State = Mapping[int, LayerParameters]
"""Parameters by position of the layer."""


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """Where training stands.

    Attributes:
        parameters: By position of the layer.
        gains: What is expected of each error tensor, by record; see `shrink`.
    """

    parameters: State
    gains: Mapping[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """How a round ended.

    Attributes:
        parameters: What the device has learned.
        losses: Of each sample visited, in order, in the loss's own unit.
    """

    parameters: State
    losses: Ints


class Network:
    """A network with its tape.

    Args:
        graph: The device's graph, with weights as exported.
        position: Of the last layer.
        head: Its constants.
        tape: The way back.
    """

    def __init__(self, graph: Graph, position: int, head: Head, tape: Tape) -> None:
        self.graph = graph
        self.head = head
        self.tape = tape
        self._position = position

    def initial(self) -> State:
        """The parameters as exported."""
        state = {}
        for position, layer in self.tape.layers.items():
            op = self.graph.ops[position]
            bias, weights = self._constant(op, 2), self._constant(op, 1)
            rows = weighted_rule(self.graph, position).by_channel(weights.astype(np.int64))
            adapter = None
            if layer.adapter is not None:
                outputs, inputs = rows.shape
                number = layer.adapter.up.layer
                adapter = initial_adapter(layer.adapter.rank, inputs, outputs, number)
                rows = rows[:0]
            masters = rows[: layer.channels] * MASTER_UNITS
            state[position] = LayerParameters(
                bias.reshape(-1).astype(np.int64).clip(-BIAS_LIMIT, BIAS_LIMIT),
                masters.clip(-MASTER_LIMIT, MASTER_LIMIT),
                adapter,
            )
        return state

    def vector(self, state: State) -> bytes:
        """The parameter vector: biases in the order of the graph, then masters, each in the
        tensor's own order, or the factors of an adapter: down, then up.
        """  # noqa: D205
        biases = [p.bias.astype("<i4").tobytes() for p in state.values()]
        masters = [
            (self.own_layout(position, a) if p.adapter is None else a).astype("<i2").tobytes()
            for position, p in state.items()
            for a in p.arrays()
        ]
        return b"".join((*biases, *masters))

    def trained_graph(self, state: State) -> Graph:
        """The graph with these parameters: what an export computes."""
        tensors = list(self.graph.tensors)
        for position, found in state.items():
            op = self.graph.ops[position]
            weights, bias = op.inputs[1:3]
            made = {weights: self._weights(position, found), bias: found.bias}
            for index, values in made.items():
                old = tensors[index]
                data = values.astype(old.dtype.numpy).reshape(old.shape)
                tensors[index] = replace(old, data=data)
        return replace(self.graph, tensors=tuple(tensors))

    def step(
        self, progress: Progress, sample: Array, target: Array, rate: LearningRate, key: int
    ) -> tuple[Progress, int]:
        """One sample forward and backward.

        Args:
            progress: Where training stands.
            sample: int8, in the model's input quantisation.
            target: A label, or an int8 vector.
            rate: The learning rate.
            key: Of the step.

        Returns:
            Where it stands then, and the sample's loss.
        """
        values, centred, acc = self._forward(progress.parameters, sample)
        loss, gradient = loss_and_gradient(self.head, np.asarray(target)[None], acc)
        errors = {0: Errors(gradient[0], LOSS_EXPONENT)}
        gains, parameters = dict(progress.gains), dict(progress.parameters)
        for node in self.tape.nodes:
            if isinstance(node, Merge):
                one, other = errors[node.into.record], errors[node.other.record]
                errors[node.into.record] = merge(one, other, node.ratio)
            elif isinstance(node, Back):
                self._back(node, errors, gains, values, progress.parameters)
            elif node.source.wide and node.layer.channels:
                old = parameters[node.layer.position]
                masters, bias = head_update.update(
                    self.head,
                    masters=old.masters,
                    bias=old.bias,
                    centred=centred,
                    gradient=gradient,
                    rate=rate,
                    key=key,
                )
                parameters[node.layer.position] = LayerParameters(bias, masters)
            else:
                source = errors[node.source.record]
                found = self._learn(node, source, values, parameters, rate=rate, key=key)
                parameters[node.layer.position] = found
        return Progress(parameters, gains), int(loss[0])

    def train(
        self,
        state: State,
        samples: Array,
        targets: Array,
        *,
        plan: LocalPlan,
        device_id: int,
    ) -> Outcome:
        """Trains as a device does in one round, bit for bit.

        Args:
            state: Where to start.
            samples: int8 [samples, ...].
            targets: Labels [samples], or int8 vectors [samples, ...].
            plan: The round's terms; a batch of 1.
            device_id: 64-bit identity of the device.

        Raises:
            DataError: A label is no class of the model.
        """
        check_labels(self.head, np.asarray(targets, np.int64))
        progress, losses = Progress(state, {}), []
        for (index,), key in batches(plan, device_id, len(samples)):
            progress, loss = self.step(progress, samples[index], targets[index], plan.rate, key)
            losses.append(loss)
        return Outcome(progress.parameters, np.array(losses, np.int64))

    def gradients(self, state: State, sample: Array, target: Array) -> Mapping[int, Array]:
        """Real gradients of the weights that train, without the last layer's, by position.

        Expects errors as large as they turn out to be: what one sample gives by itself.
        """
        values, _, acc = self._forward(state, sample)
        _, gradient = loss_and_gradient(self.head, np.asarray(target)[None], acc)
        errors = {0: Errors(gradient[0], LOSS_EXPONENT)}
        made: dict[int, Array] = {}
        for node in self.tape.nodes:
            if isinstance(node, Merge):
                one, other = errors[node.into.record], errors[node.other.record]
                errors[node.into.record] = merge(one, other, node.ratio)
            elif isinstance(node, Back):
                self._back(node, errors, {}, values, state)
            elif node.layer.channels and not node.source.wide:
                op = self.graph.ops[node.layer.position]
                found = errors[node.source.record]
                scale = quantization(self.graph.tensors[op.inputs[0]]).scale[0]
                sums = self._sums(node, found, values)
                made[node.layer.position] = sums * node.source.factor * scale * 2.0**found.exponent
        return made

    def _forward(self, state: State, sample: Array) -> tuple[dict[int, Array], Ints, Ints]:
        """Values of all tensors up to the last layer's input, and the layer's own sums."""
        graph = self.trained_graph(state)
        first = graph.tensors[graph.inputs[0]]
        given = {graph.inputs[0]: sample.reshape(first.shape)}
        values = run_ops(graph, graph.ops[: self._position], given)
        op = graph.ops[self._position]
        weights, bias = (graph.tensors[index].data for index in op.inputs[1:3])
        assert weights is not None
        assert bias is not None
        centred, acc = self.head.accumulate(
            values[op.inputs[0]].reshape(1, -1), weights.reshape(len(weights), -1), bias.reshape(-1)
        )
        return values, centred, acc

    def _back(
        self,
        node: Back,
        errors: dict[int, Errors],
        gains: dict[int, int],
        values: Mapping[int, Array],
        state: State,
    ) -> None:
        graph, op = self.graph, self.graph.ops[node.position]
        source = errors[node.source.record]
        shaped = source.values.reshape(graph.tensors[op.outputs[0]].shape)
        if node.layer is None:
            rule = plain_rule(graph, node.position)
            if isinstance(rule, MoveRule):
                inputs = {0: values[op.inputs[0]]} if node.routes is not None else {}
                moved = _masked(rule.move(graph, op, node.place, shaped, inputs), node.mask, values)
                errors[node.target.record] = Errors(moved, source.exponent)
                return
            sums = rule.sums(graph, op, node.place, shaped, self._seen(op, values))
            self._shrink(node, errors, gains, values, sums=sums, exponent=rule.exponent(graph, op))
            return
        weighted, ratios = weighted_rule(graph, node.position), node.layer.ratios
        assert ratios is not None
        weights = self._constant(op, 1)
        if node.position in state:
            weights = self._weights(node.position, state[node.position])
        sums = weighted.errors(graph, op, ratios.apply(shaped), weights).astype(np.int64)
        self._shrink(node, errors, gains, values, sums=sums, exponent=ratios.exponent)

    def _seen(self, op: Op, values: Mapping[int, Array]) -> Mapping[int, Array]:
        """What an operator reads and makes, constants included."""
        seen = {}
        for index in (*op.inputs, *op.outputs):
            data = self.graph.tensors[index].data
            seen[index] = values[index] if data is None else data
        return seen

    def _shrink(
        self,
        node: Back,
        errors: dict[int, Errors],
        gains: dict[int, int],
        values: Mapping[int, Array],
        *,
        sums: Ints,
        exponent: int,
    ) -> None:
        """Turns sums into the errors of a node's target."""
        source, record = errors[node.source.record], node.target.record
        masked = _masked(sums, node.mask, values)
        made, gain = shrink(masked, source, gains.get(record), source.exponent + exponent)
        errors[record] = made
        if gain is not None:
            gains[record] = gain

    def _learn(
        self,
        node: Learn,
        errors: Errors,
        values: Mapping[int, Array],
        parameters: State,
        *,
        rate: LearningRate,
        key: int,
    ) -> LayerParameters:
        position, rates = node.layer.position, node.layer.rates
        assert rates is not None
        found = parameters[position]
        if not node.source.wide and errors.bits == 0:
            return found
        flat = errors.values.reshape(-1, len(found.bias))
        if node.layer.adapter is not None:
            assert found.adapter is not None
            rows = Errors(flat, errors.exponent), self._rows(position, values)
            adapter, bias = learn_adapter(
                found.adapter, found.bias, rows, node.layer.adapter, rate=rate, key=key
            )
            return LayerParameters(bias, found.masters, adapter)
        bias = learn_bias(
            found.bias,
            flat.sum(axis=0),
            rates,
            rate=rate,
            exponent=errors.exponent,
            key=key,
        )
        if not node.layer.channels:
            return LayerParameters(bias, found.masters)
        sums = self._sums(node, errors, values)
        masters = learn_weights(
            found.masters, sums, rates, rate=rate, exponent=errors.exponent, key=key
        )
        return LayerParameters(bias, masters)

    def _rows(self, position: int, values: Mapping[int, Array]) -> Ints:
        """What a 1x1 convolution or a fully connected layer reads, centred: [rows, inputs]."""
        graph, op = self.graph, self.graph.ops[position]
        zero = quantization(graph.tensors[op.inputs[0]]).zero_point[0]
        rule = weighted_rule(graph, position)
        rows, columns = rule.axes(graph, op)
        centred = values[op.inputs[0]].astype(np.int64) - zero
        image = centred.reshape(rows.size, columns.size, rule.depth(graph, op))
        seen: Ints = image[:: rows.stride, :: columns.stride][: rows.output, : columns.output]
        return seen.reshape(-1, image.shape[2])

    def _sums(self, node: Learn, errors: Errors, values: Mapping[int, Array]) -> Ints:
        graph, op = self.graph, self.graph.ops[node.layer.position]
        shaped = errors.values.reshape(graph.tensors[op.outputs[0]].shape)
        zero = quantization(graph.tensors[op.inputs[0]]).zero_point[0]
        centred = values[op.inputs[0]].astype(np.int64) - zero
        rule = weighted_rule(graph, node.layer.position)
        made = rule.gradient(graph, op, shaped, centred)[: node.layer.channels]
        return made.astype(np.int64)

    def _weights(self, position: int, found: LayerParameters) -> Array:
        """int8 weights of the whole layer in its own layout: trained channels, then the others."""
        op = self.graph.ops[position]
        rule = weighted_rule(self.graph, position)
        whole = self._constant(op, 1)
        rows = rule.by_channel(whole).copy()
        if found.adapter is not None:
            rows = merged(rows, found.adapter)
        rows[: len(found.masters)] = shadow_of(found.masters)
        return rule.own_layout(rows, whole.shape)

    def own_layout(self, position: int, rows: Ints) -> Ints:
        """A layer's masters in the order of its tensor."""
        shape = self._constant(self.graph.ops[position], 1).shape
        layout: Ints = weighted_rule(self.graph, position).own_layout(rows, shape)
        return layout

    def _constant(self, op: Op, place: int) -> Array:
        data = self.graph.tensors[op.inputs[place]].data
        assert data is not None
        return data


def _masked(sums: Ints, mask: Mask | None, values: Mapping[int, Array]) -> Ints:
    """Zeros where the tensor was clamped."""
    if mask is None:
        return sums
    seen = values[mask.tensor]
    open_: Ints = np.where((seen == mask.low) | (seen == mask.high), 0, sums)
    return open_
