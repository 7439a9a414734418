# SPDX-License-Identifier: Apache-2.0
"""Many trainings of one network in float32, side by side: learning rates and seeds at once.

Each step gives every run the next sample of its own order, so that a product of matrices serves all
runs; what lies before the first layer that trains is computed once. The same as
`FloatNetwork.train` for each run on its own, but for the order of float sums.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.gradient.base import MoveRule
from fleetgrad_codegen.gradient.float_network import FloatLayer, FloatState
from fleetgrad_codegen.gradient.float_products import Geometry
from fleetgrad_codegen.gradient.tape import Back, Mask, Merge, Tape, plain_rule, weighted_rule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.ops.softmax import SoftmaxOptions
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.training.float_forward import LIMITS, Floats, dequantised, float_op
from fleetgrad_codegen.training.float_loss import loss_slope
from fleetgrad_codegen.training.head import Head
from fleetgrad_codegen.training.local import LocalPlan, batches

_CHUNK = 256


class FloatRuns:
    """A network with its tape.

    Args:
        graph: The device's graph.
        position: Of the last layer.
        head: Its geometry and loss.
        tape: The way back.

    Raises:
        SchemeError: The loss is not cross-entropy.
    """

    def __init__(self, graph: Graph, position: int, head: Head, tape: Tape) -> None:
        if head.loss is not Loss.SOFTMAX_CROSS_ENTROPY:
            raise SchemeError("trainings side by side with another loss", "loss", "cross-entropy")
        self._graph, self._head, self._tape = graph, head, tape
        self._made = graph.ops[position].outputs[0]
        options = graph.ops[-1].options
        self._beta = options.beta if isinstance(options, SoftmaxOptions) else 1.0
        ops = graph.ops[: position + 1]
        self._live: list[tuple[int, Op]] = []
        live: set[int] = set()
        for place, op in enumerate(ops):
            if place in tape.layers or live.intersection(op.inputs):
                live.add(op.outputs[0])
                self._live.append((place, op))
        self._frozen = [op for op in ops if op.outputs[0] not in live]
        known = {graph.inputs[0], *(op.outputs[0] for op in self._frozen)}
        wanted = {index for _, op in self._live for index in op.inputs}
        wanted.update(mask.tensor for mask in _masks(tape))
        self._kept = known & wanted
        nodes = [node for node in tape.nodes if not isinstance(node, Merge)]
        weighted = {
            node.position if isinstance(node, Back) else node.layer.position
            for node in nodes
            if not isinstance(node, Back) or node.layer is not None
        }
        self._geometry = {
            place: Geometry.of(graph, place, graph.ops[place])
            for place in weighted | tape.layers.keys()
        }
        self._shared = {
            place: self._columns(place, self._exported(graph.ops[place], 1))[None]
            for place in self._geometry.keys() - tape.layers.keys()
        }

    def train(
        self,
        states: Sequence[FloatState],
        samples: Array,
        targets: Array,
        *,
        plans: Sequence[LocalPlan],
        device_id: int,
    ) -> list[FloatState]:
        """What devices with a float unit would do in the round, one for each state and plan.

        Args:
            states: Where each run starts.
            samples: int8 [samples, ...], the same for all.
            targets: Labels [samples].
            plans: The terms of each; a batch of 1, as many steps in all of them.
            device_id: 64-bit identity of the device.
        """
        kept = self._before(samples)
        rates = np.array([plan.rate.real for plan in plans], np.float32)[:, None, None]
        weights, bias = {}, {}
        for place in self._tape.layers:
            own = [self._columns(place, state[place].weights) for state in states]
            weights[place] = np.stack(own)
            bias[place] = np.stack([state[place].bias for state in states])[:, None]
        orders = [list(batches(plan, device_id, len(samples))) for plan in plans]
        for step in zip(*orders, strict=True):
            rows = np.array([index for (index,), _ in step])
            values = {tensor: found[rows] for tensor, found in kept.items()}
            with np.errstate(over="ignore", invalid="ignore"):  # too high a rate diverges
                patches = self._forward(values, weights, bias)
                found = self._gradients(values, patches, weights, np.asarray(targets)[rows])
                for place, (by_weights, by_bias) in found.items():
                    weights[place][..., : by_weights.shape[2]] -= rates * by_weights
                    bias[place] -= rates * by_bias
        return [
            {
                place: FloatLayer(
                    self._own_layout(place, weights[place][run]), bias[place][run, 0].copy()
                )
                for place in self._tape.layers
            }
            for run in range(len(states))
        ]

    def _before(self, samples: Array) -> dict[int, Floats]:
        """Values that do not depend on what trains, of all samples."""
        graph = self._graph
        parts: dict[int, list[Floats]] = {tensor: [] for tensor in self._kept}
        for start in range(0, len(samples), _CHUNK):
            first = graph.inputs[0]
            values = {first: dequantised(graph.tensors[first], samples[start : start + _CHUNK])}
            for op in self._frozen:
                values[op.outputs[0]] = float_op(graph, op, values)
            for tensor, list_ in parts.items():
                list_.append(values[tensor])
        return {tensor: np.concatenate(list_) for tensor, list_ in parts.items()}

    def _forward(
        self,
        values: dict[int, Floats],
        weights: Mapping[int, Floats],
        bias: Mapping[int, Floats],
    ) -> dict[int, Floats]:
        """Adds the values that depend on what trains; what trained layers read, by position."""
        graph = self._graph
        patches = {}
        for place, op in self._live:
            if place not in weights:
                values[op.outputs[0]] = float_op(graph, op, values)
                continue
            geometry = self._geometry[place]
            patches[place] = geometry.patches(values[op.inputs[0]])
            made = geometry.forward(patches[place], weights[place]) + bias[place]
            activation = getattr(op.options, "activation", Activation.NONE)
            if activation is not Activation.NONE:
                low, high = LIMITS[activation]
                made = made.clip(np.float32(low), np.float32(high))
            shape = graph.tensors[op.outputs[0]].shape[1:]
            values[op.outputs[0]] = made.reshape(len(made), *shape)
        return patches

    def _gradients(
        self,
        values: Mapping[int, Floats],
        patches: Mapping[int, Floats],
        weights: Mapping[int, Floats],
        labels: Array,
    ) -> dict[int, tuple[Floats, Floats]]:
        """Of weights [runs, taps, trained channels] and biases [runs, 1, channels], by position."""
        errors: dict[int, Floats] = {0: self._slope(values[self._made], labels)}
        made: dict[int, tuple[Floats, Floats]] = {}
        for node in self._tape.nodes:
            if isinstance(node, Merge):
                errors[node.into.record] = errors[node.into.record] + errors[node.other.record]
                continue
            place = node.position if isinstance(node, Back) else node.layer.position
            source = errors[node.source.record]
            if not isinstance(node, Back):
                geometry, channels = self._geometry[place], node.layer.channels
                shaped = source.reshape(len(source), -1, geometry.channels)
                found = geometry.gradient(patches[place], shaped, channels)
                made[place] = found, shaped.sum(axis=1, keepdims=True)
                continue
            if node.layer is None:
                passed = self._moved(node, source, values)
            else:
                geometry = self._geometry[place]
                shaped = source.reshape(len(source), -1, geometry.channels)
                own = weights[place] if place in weights else self._shared[place]
                passed = geometry.errors(shaped, own)
            errors[node.target.record] = _masked(passed, node.mask, values)
        return made

    def _moved(self, node: Back, errors: Floats, values: Mapping[int, Floats]) -> Floats:
        """Errors behind an operator without weights: its own rule, run by run."""
        graph, op = self._graph, self._graph.ops[node.position]
        rule = plain_rule(graph, node.position)
        made = []
        for run, one in enumerate(errors):
            shaped = one.reshape(graph.tensors[op.outputs[0]].shape)
            seen = self._values_of(op, run, values)
            if isinstance(rule, MoveRule):
                moved = rule.move(graph, op, node.place, shaped, {0: seen[op.inputs[0]]})
                made.append(moved * np.float32(rule.factor(graph, op)))
            else:
                made.append(rule.slopes(graph, op, node.place, shaped, seen))
        shape = graph.tensors[node.target.tensor].shape
        return np.stack(made).reshape(len(errors), *shape[1:]).astype(np.float32)

    def _values_of(self, op: Op, run: int, values: Mapping[int, Floats]) -> Mapping[int, Floats]:
        """What an operator reads and makes in one run, in the tensors' own shapes."""
        seen = {}
        for index in (*op.inputs, *op.outputs):
            tensor = self._graph.tensors[index]
            if tensor.data is not None:
                seen[index] = dequantised(tensor, tensor.data)
            elif index in values:
                seen[index] = values[index][run].reshape(tensor.shape)
        return seen

    def _slope(self, made: Floats, labels: Array) -> Floats:
        """Gradient of the loss by the last layer's outputs, [runs, positions, outputs]."""
        head = self._head
        rows = made.reshape(len(made), head.positions, head.outputs)
        seen = rows.mean(axis=1) if head.pooled else rows.reshape(len(rows), -1)
        slope = loss_slope(head.loss, seen, labels, beta=self._beta)[:, None]
        if head.pooled:
            slope = np.repeat(slope / head.positions, head.positions, axis=1)
        else:
            slope = slope.reshape(rows.shape)
        shaped: Floats = (slope * (rows > 0) if head.relu else slope).astype(np.float32)
        return shaped

    def _exported(self, op: Op, place: int) -> Floats:
        tensor = self._graph.tensors[op.inputs[place]]
        assert tensor.data is not None
        return dequantised(tensor, tensor.data)

    def _columns(self, place: int, weights: Floats) -> Floats:
        """Weights in their own layout as [taps, channels]."""
        rows = weighted_rule(self._graph, place).by_channel(weights)
        return np.ascontiguousarray(rows.T)

    def _own_layout(self, place: int, columns: Floats) -> Floats:
        shape = self._graph.tensors[self._graph.ops[place].inputs[1]].shape
        made = weighted_rule(self._graph, place).own_layout(columns.T, shape)
        return np.ascontiguousarray(made)


def _masks(tape: Tape) -> list[Mask]:
    return [n.mask for n in tape.nodes if isinstance(n, Back) and n.mask is not None]


def _masked(errors: Floats, mask: Mask | None, values: Mapping[int, Floats]) -> Floats:
    """Zeros where an activation has clamped."""
    if mask is None or mask.activation is Activation.NONE:
        return errors
    low, high = LIMITS[mask.activation]
    seen = values[mask.tensor].reshape(errors.shape)
    open_ = seen > low if np.isinf(high) else (seen > low) & (seen < high)
    return errors * open_
