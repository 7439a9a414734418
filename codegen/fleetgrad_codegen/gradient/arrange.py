# SPDX-License-Identifier: Apache-2.0
"""Puts the output channels that are to train first, without changing what the network computes.

The order of channels is a private matter between a layer and its readers. What lies between them
(depthwise convolutions, poolings, additions) follows; where the network's input or output, or an
operator that mixes channels, has a say, the order stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fleetgrad_codegen.gradient.tape import weighted_rule
from fleetgrad_codegen.ir import ABSENT, Array, Graph, Op, Quantization, Tensor
from fleetgrad_codegen.ops.mean import Mean

_PAIRS = ("ADD", "SUB", "MUL")
_TIES = (
    *_PAIRS,
    "AVERAGE_POOL_2D",
    "LOGISTIC",
    "MAX_POOL_2D",
    "PAD",
    "RESHAPE",
    "RESIZE_NEAREST_NEIGHBOR",
    "TANH",
)
_MIXERS = ("CONV_2D", "FULLY_CONNECTED")

Places = tuple[tuple[int, ...] | None, ...]
"""Along each dimension, which element of the model file's tensor stands where; None: as in it."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A graph with some channels in another order.

    Attributes:
        graph: Computes the same as the one it was made from.
        places: Where the elements of a constant came from, by tensor.
    """

    graph: Graph
    places: Mapping[int, Places]


def arrange(graph: Graph, chosen: Mapping[int, int]) -> Arrangement:
    """Sorts channels of layers of which some train.

    Args:
        graph: The device's graph.
        chosen: Output channels that train, by position of the layer; those with the largest weights
            come first where not all of them do.

    Returns:
        The arranged graph; the same one where no layer trains in part.
    """
    groups = _Groups(graph)
    orders: dict[int, tuple[int, ...]] = {}
    for position, channels in chosen.items():
        made = graph.ops[position].outputs[0]
        group = groups.of(made)
        partly = 0 < channels < weighted_rule(graph, position).channels(graph, graph.ops[position])
        if partly and group not in orders and groups.is_free(group):
            partial = [p for p in chosen if groups.of(graph.ops[p].outputs[0]) == group]
            mixing = [p for p in partial if _mixes(graph, p)]
            orders[group] = _by_norm(graph, mixing or partial)
    return _Arranger(graph, groups, orders).run()


def _mixes(graph: Graph, position: int) -> bool:
    return graph.ops[position].kind in _MIXERS


def _by_norm(graph: Graph, positions: Sequence[int]) -> tuple[int, ...]:
    """Channels by their weights' norm, largest first; together for layers that share an order."""
    total: Array = np.zeros(())
    for position in positions:
        op = graph.ops[position]
        rule = weighted_rule(graph, position)
        data = graph.tensors[op.inputs[1]].data
        assert data is not None
        norm = np.linalg.norm(rule.by_channel(data).astype(np.float64), axis=1)
        norm = norm * np.array(rule.weight_scales(graph, op))
        total = total + norm / norm.max()
    order = np.argsort(-total, kind="stable")
    return tuple(int(channel) for channel in order)


class _Groups:
    """Tensors whose channels have to be in one order."""

    def __init__(self, graph: Graph) -> None:
        self._leader = list(range(len(graph.tensors)))
        self._bound = set()
        for index in (*graph.inputs, *graph.outputs):
            self._bound.add(index)
        for op in graph.ops:
            for first, second in self._ties(graph, op):
                self._leader[self.of(first)] = self.of(second)
            if op.kind not in (*_TIES, *_MIXERS, "DEPTHWISE_CONV_2D", "MEAN"):
                self._bound.update((*op.inputs, *op.outputs))
        self._bound = {self.of(index) for index in self._bound if index != ABSENT}

    def _ties(self, graph: Graph, op: Op) -> Iterator[tuple[int, int]]:
        made = op.outputs[0]
        if op.kind in _TIES or op.kind == "DEPTHWISE_CONV_2D":
            places = (0, 1) if op.kind in _PAIRS else (0,)
            yield from ((op.inputs[place], made) for place in places)
        if op.kind == "DEPTHWISE_CONV_2D":
            channels = {graph.tensors[index].shape[3] for index in (op.inputs[0], made)}
            if len(channels) > 1:
                self._bound.update((op.inputs[0], made))
        if op.kind in _PAIRS:
            shapes = {graph.tensors[index].shape for index in (*op.inputs, made)}
            if len(shapes) > 1 or any(graph.tensors[index].is_constant for index in op.inputs):
                self._bound.update((*op.inputs, made))
        if (
            op.kind == "PAD"
            and graph.tensors[op.inputs[0]].shape[-1:] != graph.tensors[made].shape[-1:]
        ):
            self._bound.add(made)
        if op.kind == "MEAN":
            yield op.inputs[0], made
            if len(graph.tensors[op.inputs[0]].shape) - 1 in Mean().axes(graph, op):
                self._bound.add(made)

    def of(self, index: int) -> int:
        """What names the group of a tensor."""
        while self._leader[index] != index:
            index = self._leader[index]
        return index

    def is_free(self, group: int) -> bool:
        """Whether nobody outside the group's own layers and readers sees the order."""
        return group not in self._bound


class _Arranger:
    def __init__(
        self, graph: Graph, groups: _Groups, orders: Mapping[int, tuple[int, ...]]
    ) -> None:
        self._graph = graph
        self._groups = groups
        self._orders = orders
        self._tensors = list(graph.tensors)
        self._places: dict[int, Places] = {}

    def run(self) -> Arrangement:
        for op in self._graph.ops:
            if op.kind not in (*_MIXERS, "DEPTHWISE_CONV_2D"):
                continue
            written, read = self._order(op.outputs[0]), self._order(op.inputs[0])
            weights = op.inputs[1]
            rank = len(self._graph.tensors[weights].shape)
            last = self._columns(weights, read) if op.kind in _MIXERS else written
            first = written if op.kind in _MIXERS else None
            self._reorder(weights, (first, *[None] * (rank - 2), last))
            if len(op.inputs) > 2 and op.inputs[2] != ABSENT:
                shape = self._graph.tensors[op.inputs[2]].shape
                self._reorder(op.inputs[2], (*[None] * (len(shape) - 1), written))
        return Arrangement(replace(self._graph, tensors=tuple(self._tensors)), self._places)

    def _order(self, tensor: int) -> tuple[int, ...] | None:
        return self._orders.get(self._groups.of(tensor))

    def _columns(self, weights: int, order: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """The order of a layer's inputs: that of the channels, for each pixel it reads at once."""
        if order is None:
            return None
        count = self._graph.tensors[weights].shape[-1]
        starts = range(0, count, len(order))
        return tuple(start + channel for start in starts for channel in order)

    def _reorder(self, index: int, places: Places) -> None:
        if all(place is None for place in places):
            return
        old = self._graph.tensors[index]
        data = old.data
        assert data is not None
        for axis, order in enumerate(places):
            if order is not None:
                data = np.take(data, order, axis)
        data.flags.writeable = False
        found = _reordered(old, places)
        self._tensors[index] = replace(old, data=data, quantization=found)
        self._places[index] = places


def _reordered(tensor: Tensor, places: Places) -> Quantization | None:
    found = tensor.quantization
    if found is None or not found.per_channel:
        return found
    order = places[found.axis]
    if order is None:
        return found
    return replace(
        found,
        scale=tuple(found.scale[channel] for channel in order),
        zero_point=tuple(found.zero_point[channel] for channel in order),
    )
