# SPDX-License-Identifier: Apache-2.0
"""Activation scales as data: which may grow while a model is deployed, and what grown ones mean.

Every growing tensor has an exponent e in the range table: its scale is the exported one times 2^e,
its zero point stays. Mantissas of all constants then stay too, and shifts change by exponents:
exactly what the reference computes for a model file with such scales. Constant biases of what reads
the tensor are halved e times, rounded half up each time they are used.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fleetgrad_codegen.frontend.patch import TensorPatch
from fleetgrad_codegen.ir import ABSENT, Array, DType, Graph, Op
from fleetgrad_codegen.ops import REGISTRY
from fleetgrad_codegen.ops.activation import Activation, grown_quantization
from fleetgrad_codegen.ops.base import Scaling
from fleetgrad_codegen.ops.growth import REACHABLE
from fleetgrad_codegen.ops.weighted import WeightedOperator

_FAR_CLAMPS = (Activation.NONE, Activation.RELU)


@dataclass(frozen=True, slots=True)
class Range:
    """Tensors whose scales grow together.

    Attributes:
        name: Of the first of them, for reports.
        tensors: Indices into the graph's tensors.
        values: Outputs per sample that are looked at: those of operators that scale values anew.
    """

    name: str
    tensors: tuple[int, ...]
    values: int


def mark_ranges(graph: Graph, constant: Collection[int] = ()) -> Graph:
    """The graph with a place in the range table for every tensor whose scale may grow.

    Those of the model's input and output, and of whatever an operator reads or writes that takes
    scales as exported (such as a table look-up), may not. Around an operator that moves values, or
    whose constants would not stay the same but for a shift, they grow together.

    Args:
        graph: The whole model: conversions at its ends take scales as exported, too.
        constant: Further tensors whose scales stay.
    """
    ties = _Ties(graph)
    for index in (*graph.inputs, *graph.outputs, *constant):
        ties.fix(index)
    for op in graph.ops:
        ties.take(op)
    places = ties.places()
    tensors = tuple(
        replace(tensor, range=places.get(index)) for index, tensor in enumerate(graph.tensors)
    )
    return replace(graph, tensors=tensors)


def ranges_of(graph: Graph) -> tuple[Range, ...]:
    """The range table of a marked graph, in order."""
    members: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    values: dict[int, int] = {}
    for index, tensor in enumerate(graph.tensors):
        if tensor.range is not None:
            members.setdefault(tensor.range, []).append(index)
    for op in graph.ops:
        tensor = graph.tensors[op.outputs[0]]
        if tensor.range is None:
            continue
        names.setdefault(tensor.range, tensor.name)
        if REGISTRY[op.kind].scaling is Scaling.FREE:
            values[tensor.range] = values.get(tensor.range, 0) + tensor.size
    return tuple(
        Range(names[place], tuple(members[place]), values[place]) for place in sorted(members)
    )


def grow(graph: Graph, exponents: Sequence[int]) -> Graph:
    """The graph that a device computes with these exponents: what an export has to say.

    Scales are doubled, constant biases halved; both of what reads a grown tensor.

    Args:
        graph: A marked graph.
        exponents: One per range, 0 to `growth.MOST_GROWTH`.
    """
    tensors = list(graph.tensors)
    for index, tensor in enumerate(graph.tensors):
        if tensor.range is not None:
            tensors[index] = grown_quantization(tensor, exponents[tensor.range])
    for index, place in biases_of(graph).items():
        bias = grown_quantization(graph.tensors[index], exponents[place])
        if bias.data is not None:
            bias = replace(bias, data=halved(bias.data, exponents[place]))
        tensors[index] = bias
    return replace(graph, tensors=tuple(tensors))


def halved(bias: Array, exponent: int) -> Array:
    """``bias / 2**exponent`` to nearest, halves up."""
    if not exponent:
        return bias
    wide = bias.astype(np.int64)
    return ((wide + (1 << (exponent - 1))) >> exponent).astype(bias.dtype)


def biases_of(graph: Graph) -> Mapping[int, int]:
    """Biases whose unit grows, by tensor: with which range."""
    found = {}
    for op in graph.ops:
        bias = _bias(op)
        place = graph.tensors[op.inputs[0]].range
        if bias is not None and place is not None:
            found[bias] = place
    return found


def grown_patches(graph: Graph, exponents: Sequence[int]) -> list[TensorPatch]:
    """What changes in the model file for these exponents.

    With exponents of 0 nothing changes, but every tensor concerned gets scales and data that it
    shares with no other.
    """
    grown = grow(graph, exponents)
    biases = biases_of(graph)
    patches = []
    for index, tensor in enumerate(grown.tensors):
        if (tensor.range is None and index not in biases) or tensor.source is None:
            continue
        patches.append(
            TensorPatch(tensor.source, quantization=tensor.quantization, data=tensor.data)
        )
    return patches


def _bias(op: Op) -> int | None:
    """The tensor of a weighted operator's bias."""
    if not isinstance(REGISTRY[op.kind], WeightedOperator) or len(op.inputs) < 3:
        return None
    return None if op.inputs[2] == ABSENT else op.inputs[2]


class _Ties:
    """Sets of tensors that grow together."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._parent = list(range(len(graph.tensors)))
        self._fixed: set[int] = set()

    def fix(self, index: int) -> None:
        """The scale of a tensor stays."""
        self._fixed.add(index)

    def take(self, op: Op) -> None:
        """What an operator demands."""
        operator, graph = REGISTRY[op.kind], self._graph
        weighted = isinstance(operator, WeightedOperator)
        values = [op.inputs[0]] if weighted else [i for i in op.inputs if i != ABSENT]
        values = [i for i in values if graph.tensors[i].dtype is DType.INT8]
        touched = [*values, *op.outputs]
        if not self._is_flexible(op, values):
            for index in touched:
                self.fix(index)
            return
        free = operator.scaling is Scaling.FREE
        free = free and all(operator.can_grow(graph, op, by) for by in REACHABLE)
        joined = values if free else touched
        for index in joined[1:]:
            self._parent[self._root(index)] = self._root(joined[0])

    def places(self) -> dict[int, int]:
        """Place in the range table by tensor, in the order of their operators."""
        fixed = {self._root(index) for index in self._fixed}
        made = [index for op in self._graph.ops for index in op.outputs]
        order = dict.fromkeys(r for i in made if (r := self._root(i)) not in fixed)
        place = {root: number for number, root in enumerate(order)}
        return {index: place[root] for index in made if (root := self._root(index)) in place}

    def _is_flexible(self, op: Op, values: Sequence[int]) -> bool:
        operator, graph = REGISTRY[op.kind], self._graph
        if operator.scaling is Scaling.CONSTANT or not values:
            return False
        if any(graph.tensors[index].is_constant for index in values):
            return False
        bias = _bias(op)
        if bias is not None and sum(o.inputs.count(bias) for o in graph.ops) > 1:
            return False
        if operator.scaling is Scaling.SHARED:
            activation = getattr(op.options, "activation", Activation.NONE)
            return activation in _FAR_CLAMPS
        return True

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            index = self._parent[index]
        return index
