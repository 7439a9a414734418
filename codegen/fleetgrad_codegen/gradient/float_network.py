# SPDX-License-Identifier: Apache-2.0
"""The same network and tape in real numbers: the yardstick for what integers cost.

Weights, activations, errors and updates are never rounded. Same plan, same order of samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fleetgrad_codegen.gradient.base import MoveRule
from fleetgrad_codegen.gradient.tape import Back, Mask, Merge, Tape, plain_rule, weighted_rule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.ops.softmax import SoftmaxOptions
from fleetgrad_codegen.training.adapter import DOWN_BITS, initial_adapter
from fleetgrad_codegen.training.float_forward import LIMITS, Floats, dequantised, float_values
from fleetgrad_codegen.training.float_loss import loss_slope, predictions
from fleetgrad_codegen.training.head import Head
from fleetgrad_codegen.training.local import LocalPlan, batches


@dataclass(frozen=True, slots=True, eq=False)
class FloatLayer:
    """What trains of one layer, and the rest of it.

    Attributes:
        weights: float32, of all channels, in the tensor's own layout.
        bias: float32 [channels].
        adapter: How the weights differ from frozen ones; None where they train by themselves.
    """

    weights: Floats
    bias: Floats
    adapter: "FloatAdapter | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class FloatAdapter:
    """A low-rank difference.

    Attributes:
        frozen: float32 [outputs, inputs].
        down: float32 [rank, inputs].
        up: float32 [outputs, rank].
    """

    frozen: Floats
    down: Floats
    up: Floats

    def moved(self, gradient: Array, rate: float) -> "FloatAdapter":
        """After a step along the gradient of the weights, [outputs, inputs]."""
        return FloatAdapter(
            self.frozen,
            (self.down - rate * (self.up.T @ gradient)).astype(np.float32),
            (self.up - rate * (gradient @ self.down.T)).astype(np.float32),
        )

    def layer(self, shape: tuple[int, ...], bias: Floats) -> FloatLayer:
        """The layer with merged weights."""
        weights = (self.frozen + self.up @ self.down).reshape(shape).astype(np.float32)
        return FloatLayer(weights, bias, self)


FloatState = Mapping[int, FloatLayer]
"""By position of the layer."""


class FloatNetwork:
    """A network with its tape.

    Args:
        graph: The device's graph.
        position: Of the last layer.
        head: Its geometry and loss.
        tape: The way back.
    """

    def __init__(self, graph: Graph, position: int, head: Head, tape: Tape) -> None:
        self._graph = graph
        self._position = position
        self._head = head
        self._tape = tape
        options = graph.ops[-1].options
        self._beta = options.beta if isinstance(options, SoftmaxOptions) else 1.0

    def initial(self) -> FloatState:
        """The parameters as exported."""
        state = {}
        for position, layer in self._tape.layers.items():
            op = self._graph.ops[position]
            weights, bias = (self._graph.tensors[index] for index in op.inputs[1:3])
            assert weights.data is not None
            assert bias.data is not None
            values = dequantised(bias, bias.data).reshape(-1)
            real = dequantised(weights, weights.data)
            adapter = None
            if layer.adapter is not None:
                rows = real.reshape(len(values), -1)
                first = initial_adapter(layer.adapter.rank, *rows.T.shape, layer.adapter.up.layer)
                adapter = FloatAdapter(
                    rows,
                    (first.down / (1 << DOWN_BITS)).astype(np.float32),
                    first.up.astype(np.float32),
                )
            state[position] = FloatLayer(real, values, adapter)
        return state

    def outputs(self, state: FloatState, samples: Array) -> Floats:
        """What the loss sees, [samples, values]."""
        return self._seen(self._rows(self._forward(state, samples)))

    def accuracy(self, state: FloatState, samples: Array, labels: Array) -> float:
        """Share of samples whose label is predicted; NaN without samples."""
        if not len(labels):
            return float("nan")
        made = predictions(self._head.loss, self.outputs(state, samples))
        return float((made == labels).mean())

    def gradients(
        self, state: FloatState, sample: Array, target: Array
    ) -> dict[int, tuple[Array, Array]]:
        """Gradients of weights, [trained channels, taps], and biases, by position."""
        values = self._forward(state, sample[None])
        errors: dict[int, Array] = {0: self._slope(self._rows(values), target)}
        made: dict[int, tuple[Array, Array]] = {}
        for node in self._tape.nodes:
            if isinstance(node, Merge):
                errors[node.into.record] = errors[node.into.record] + errors[node.other.record]
                continue
            position = node.position if isinstance(node, Back) else node.layer.position
            op = self._graph.ops[position]
            shape = self._graph.tensors[op.outputs[0]].shape
            shaped = errors[node.source.record].reshape(shape)
            if isinstance(node, Back):
                moved = self._passed(node, op, shaped, values, state)
                errors[node.target.record] = self._masked(moved, node.mask, values)
                continue
            rule = weighted_rule(self._graph, position)
            seen = values[op.inputs[0]].reshape(self._graph.tensors[op.inputs[0]].shape)
            weights = rule.gradient(self._graph, op, shaped, seen)[: node.layer.channels]
            made[position] = weights, shaped.reshape(-1, shape[-1]).sum(axis=0)
        return made

    def train(
        self, state: FloatState, samples: Array, targets: Array, *, plan: LocalPlan, device_id: int
    ) -> FloatState:
        """What a device with a float unit would do in the round."""
        rate = plan.rate.real
        for (index,), _ in batches(plan, device_id, len(samples)):
            found = self.gradients(state, samples[index], targets[index])
            state = self.stepped(state, found, rate)
        return state

    def stepped(
        self, state: FloatState, gradients: Mapping[int, tuple[Array, Array]], rate: float
    ) -> FloatState:
        """Parameters after a step along gradients, as from `gradients` or means of such."""
        return {
            position: self._moved(position, layer, gradients[position], rate)
            for position, layer in state.items()
        }

    def _moved(
        self, position: int, layer: FloatLayer, gradient: tuple[Array, Array], rate: float
    ) -> FloatLayer:
        bias = (layer.bias - rate * gradient[1]).astype(np.float32)
        if layer.adapter is not None:
            return layer.adapter.moved(gradient[0], rate).layer(layer.weights.shape, bias)
        rule = weighted_rule(self._graph, position)
        rows = rule.by_channel(layer.weights).copy()
        rows[: len(gradient[0])] -= rate * gradient[0]
        weights = rule.own_layout(rows, layer.weights.shape).astype(np.float32)
        return FloatLayer(weights, bias)

    def _forward(self, state: FloatState, samples: Array) -> dict[int, Floats]:
        graph = self._graph
        known = {graph.inputs[0]: dequantised(graph.tensors[graph.inputs[0]], samples)}
        for position, layer in state.items():
            weights, bias = graph.ops[position].inputs[1:3]
            known[weights], known[bias] = layer.weights, layer.bias
        return float_values(graph, known, graph.ops[self._position].outputs[0])

    def _rows(self, values: Mapping[int, Floats]) -> Floats:
        """The last layer's outputs, [samples, positions, outputs]."""
        made = values[self._graph.ops[self._position].outputs[0]]
        return made.reshape(len(made), self._head.positions, self._head.outputs)

    def _seen(self, rows: Floats) -> Floats:
        seen = rows.mean(axis=1, keepdims=True) if self._head.pooled else rows
        return seen.reshape(len(rows), -1)

    def _slope(self, rows: Floats, target: Array) -> Array:
        """Gradient of the loss by the last layer's outputs, of one sample."""
        head, seen = self._head, self._seen(rows)[0].astype(np.float64)
        wanted = np.asarray(target) if head.classes else self._real_target(target)
        (slope,) = loss_slope(
            head.loss, seen[None], wanted[None], beta=self._beta, logistic=head.logistic
        )
        if head.pooled:
            slope = np.tile(slope / head.positions, head.positions)
        made: Array = slope.reshape(head.positions, head.outputs)
        return made * (rows[0] > 0) if head.relu else made

    def _real_target(self, target: Array) -> Array:
        output = self._graph.tensors[self._graph.outputs[0]]
        real = dequantised(output, np.asarray(target)).reshape(-1)
        if self._head.logistic:  # no chance is larger than 255/256, which means 1
            real = np.where(np.asarray(target).reshape(-1) == 127, np.float32(1), real)
        return real

    def _passed(
        self, node: Back, op: Op, errors: Array, values: Mapping[int, Floats], state: FloatState
    ) -> Array:
        graph = self._graph
        if node.layer is None:
            rule = plain_rule(graph, node.position)
            seen = self._values_of(op, values)
            if isinstance(rule, MoveRule):
                moved = rule.move(graph, op, node.place, errors, {0: seen[op.inputs[0]]})
                return moved * rule.factor(graph, op)
            return rule.slopes(graph, op, node.place, errors, seen)
        weights = graph.tensors[op.inputs[1]]
        assert weights.data is not None
        real = dequantised(weights, weights.data)
        if node.position in state:
            real = state[node.position].weights
        return weighted_rule(graph, node.position).errors(graph, op, errors, real)

    def _values_of(self, op: Op, values: Mapping[int, Floats]) -> Mapping[int, Floats]:
        """What an operator reads and makes, constants included, in the tensors' own shapes."""
        seen = {}
        for index in (*op.inputs, *op.outputs):
            tensor = self._graph.tensors[index]
            if tensor.data is not None:
                seen[index] = dequantised(tensor, tensor.data)
            elif index in values:
                seen[index] = values[index].reshape(tensor.shape)
        return seen

    def _masked(self, errors: Array, mask: Mask | None, values: Mapping[int, Floats]) -> Array:
        """Zeros where an activation has clamped; int8 has no ends here."""
        if mask is None or mask.activation is Activation.NONE:
            return errors
        low, high = LIMITS[mask.activation]
        seen = values[mask.tensor].reshape(errors.shape)
        open_: Array = np.where((seen > low) & (seen < high), errors, 0.0)
        return open_
