# SPDX-License-Identifier: Apache-2.0
"""The way back: from the loss to the earliest tensor that trains, and no further.

Walks the operators in reverse. A tensor gets errors only if something at or before its producer
trains; frozen branches get none. Every error tensor is read by its producer's step alone, so its
memory is free as soon as that has run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.gradient import RULES, find_rule
from fleetgrad_codegen.gradient.base import GradientRule, MoveRule, SumRule
from fleetgrad_codegen.gradient.weighted import Layer, WeightedRule
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops.activation import Activation, activation_range
from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.training.errors import ratio_of, ratios_of


@dataclass(frozen=True, slots=True)
class ErrorTensor:
    """The errors of one tensor, from one of its readers or from all of them.

    Attributes:
        record: Which ``fg_error`` describes it.
        tensor: In the graph.
        region: Its memory.
        factor: Constant that its values have to be multiplied by.
        wide: Whether it is the 16-bit gradient of the loss.
    """

    record: int
    tensor: int
    region: Region
    factor: float
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Mask:
    """Where a tensor's producer has clamped it.

    Attributes:
        tensor: Whose values tell.
        low: Smallest value that the clamp lets through.
        high: Largest.
        activation: What has clamped it, besides the ends of int8.
        bits: One bit per element, kept from the forward pass; None where the values are.
    """

    tensor: int
    low: int
    high: int
    activation: Activation
    bits: Region | None


@dataclass(frozen=True, slots=True)
class Back:
    """Errors pass an operator.

    Attributes:
        position: Of the operator.
        place: Of the input among the operator's.
        source: Errors of its output.
        target: Errors of its input.
        mask: Of the input; None where it cannot have been clamped.
        layer: Of a layer with weights.
        routes: What the forward pass has noted down, or None.
        is_view: Source and target are the same memory: nothing happens.
    """

    position: int
    place: int
    source: ErrorTensor
    target: ErrorTensor
    mask: Mask | None
    layer: Layer | None
    routes: Region | None
    is_view: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """Errors from two readers become one.

    Attributes:
        into: Which gets the sum.
        other: Which is added.
        ratio: Of their constant factors, as mantissa and exponent.
    """

    into: ErrorTensor
    other: ErrorTensor
    ratio: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Learn:
    """A layer's parameters change.

    Attributes:
        layer: Which.
        source: Errors of its output.
    """

    layer: Layer
    source: ErrorTensor


Node = Back | Merge | Learn


@dataclass(frozen=True, slots=True)
class Tape:
    """What happens on the way back, in order.

    Attributes:
        graph: The device's graph.
        nodes: In the order of time.
        layers: Those that train, the last one of the model included, by position.
        records: How many ``fg_error`` there are.
        keeps: Tensors whose values are read on the way back.
    """

    graph: Graph
    nodes: tuple[Node, ...]
    layers: Mapping[int, Layer]
    records: int
    keeps: frozenset[int]

    @property
    def masks(self) -> tuple[Mask, ...]:
        """Those kept as bits, each once."""
        found = [n.mask for n in self.nodes if isinstance(n, Back) and n.mask is not None]
        return tuple(dict.fromkeys(mask for mask in found if mask.bits is not None))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample, those of the last layer's own update left out."""
        return sum(_macs(self.graph, node) for node in self.nodes)


def record_tape(
    graph: Graph,
    head: int,
    gradient: Region,
    factor: float,
    *,
    trained: Mapping[int, int],
    ranks: Mapping[int, int] | None = None,
    hint: Callable[[int], str] = lambda _: "",
) -> Tape:
    """Works out the way back.

    Args:
        graph: The device's graph.
        head: Position of the last layer.
        gradient: Memory of the loss's gradient.
        factor: Constant factor of that gradient.
        trained: Output channels whose weights train, by position of the layers whose biases train.
        ranks: Of adapters, by position of layers of which all channels train; others train by
            themselves.
        hint: What to try when errors cannot pass the operator at a position.

    Raises:
        SchemeError: A layer cannot train, or errors cannot pass an operator.
    """
    for position in trained:
        weighted_rule(graph, position).check_trainable(graph, graph.ops[position])
    return _Recorder(graph, head, trained, ranks or {}, hint).record(gradient, factor)


def weighted_rule(graph: Graph, position: int) -> WeightedRule:
    """The rule of a layer with weights.

    Raises:
        SchemeError: The operator is no such layer.
    """
    op = graph.ops[position]
    rule = RULES.get(op.kind)
    if not isinstance(rule, WeightedRule):
        kinds = [kind for kind, known in RULES.items() if isinstance(known, WeightedRule)]
        raise SchemeError(
            f"{op.kind} has no weights to train", graph.where(op), " or ".join(sorted(kinds))
        )
    return rule


def plain_rule(graph: Graph, position: int) -> MoveRule | SumRule:
    """The rule of an operator that errors are known to pass, and that has no weights."""
    rule = find_rule(graph, graph.ops[position])
    assert isinstance(rule, MoveRule | SumRule)
    return rule


class _Recorder:
    def __init__(
        self,
        graph: Graph,
        head: int,
        trained: Mapping[int, int],
        ranks: Mapping[int, int],
        hint: Callable[[int], str],
    ) -> None:
        self._graph = graph
        self._head = head
        self._trained = trained
        self._ranks = ranks
        self._hint = hint
        self._producer = {op.outputs[0]: place for place, op in enumerate(graph.ops)}
        self._wanted = self._want()
        self._keeps = self._keep()
        self._pending: dict[int, ErrorTensor] = {}
        self._nodes: list[Node] = []
        self._layers: dict[int, Layer] = {}
        self._records = 0

    def record(self, gradient: Region, factor: float) -> Tape:
        graph, head = self._graph, self._head
        made = graph.ops[head].outputs[0]
        self._pending[made] = ErrorTensor(self._next_record(), made, gradient, factor, wide=True)
        for position in range(head, -1, -1):
            source = self._pending.pop(graph.ops[position].outputs[0], None)
            if source is not None:
                self._pass(position, source)
        missing = sorted(self._trained.keys() - self._layers.keys())
        if missing:
            raise SchemeError(
                "the layer does not lead to the model's output",
                graph.where(graph.ops[missing[0]]),
                "a layer that the loss depends on",
            )
        return Tape(
            graph,
            tuple(self._nodes),
            dict(sorted(self._layers.items())),
            self._records,
            self._keeps,
        )

    def _want(self) -> frozenset[int]:
        """Tensors whose errors lead to something that trains."""
        wanted: set[int] = set()
        for position, op in enumerate(self._graph.ops):
            if position in self._trained or wanted.intersection(op.inputs):
                wanted.add(op.outputs[0])
        return frozenset(wanted)

    def _keep(self) -> frozenset[int]:
        """Tensors whose values are read on the way back."""
        # The last layer's weights have a gradient of 16 bits, and inputs kept as such.
        kept = {
            self._graph.ops[place].inputs[0]
            for place, channels in self._trained.items()
            if channels and place != self._head
        }
        for op in self._graph.ops[: self._head]:
            rule = find_rule(self._graph, op)
            if isinstance(rule, SumRule):
                wanted = [place for place in rule.inputs(op) if op.inputs[place] in self._wanted]
                kept.update(index for place in wanted for index in rule.reads(op, place))
        return frozenset(kept)

    def _pass(self, position: int, source: ErrorTensor) -> None:
        op = self._graph.ops[position]
        rule = find_rule(self._graph, op)
        if rule is None:
            raise SchemeError(
                f"errors cannot pass {op.kind}, and layers before it are to train",
                self._graph.where(op),
                ", ".join(sorted(RULES)),
                self._hint(position),
            )
        wanted = [place for place in rule.inputs(op) if op.inputs[place] in self._wanted]
        if wanted:
            self._check(rule, op, position)
        layer = None
        if isinstance(rule, WeightedRule):
            layer = self._layer(rule, position, source, passes=bool(wanted))
        for place in wanted:
            self._back(rule, position, place, source, layer)
        if layer is not None and position in self._trained:
            self._layers[position] = layer
            self._nodes.append(Learn(layer, source))

    def _check(self, rule: GradientRule, op: Op, position: int) -> None:
        try:
            rule.check(self._graph, op)
        except SchemeError as error:
            raise SchemeError(
                f"errors cannot pass: {error.what}",
                error.where,
                error.expected,
                self._hint(position),
            ) from error

    def _layer(
        self, rule: WeightedRule, position: int, source: ErrorTensor, *, passes: bool
    ) -> Layer:
        graph, op = self._graph, self._graph.ops[position]
        scales = [scale * source.factor for scale in rule.weight_scales(graph, op)]
        terms = rule.terms(graph, op)
        ratios = ratios_of(scales, terms=terms, wide=source.wide) if passes else None
        rates = adapter = None
        if position in self._trained:
            # The last layer has number 0; no other number depends on what else trains.
            number = 0 if source.wide else position + 1
            rates = rule.rates(graph, op, number, source.factor)
            if rank := self._ranks.get(position):
                adapter = rule.adapter(graph, op, rates, rank=rank, factor=source.factor)
        return Layer(position, self._trained.get(position, 0), ratios, rates, adapter)

    def _back(
        self,
        rule: GradientRule,
        position: int,
        place: int,
        source: ErrorTensor,
        layer: Layer | None,
    ) -> None:
        graph, op = self._graph, self._graph.ops[position]
        tensor, factor = op.inputs[place], 1.0
        if isinstance(rule, MoveRule):
            factor = source.factor * rule.factor(graph, op)
        elif isinstance(rule, SumRule):
            factor = source.factor * rule.factor(graph, op, place)
        nbytes = rule.route_bytes(graph, op)
        routes = Region(f"op{op.index} routes", nbytes) if nbytes else None
        if rule.is_view:
            target = ErrorTensor(source.record, tensor, source.region, factor)
            self._nodes.append(
                Back(position, place, source, target, None, layer, None, is_view=True)
            )
        else:
            record = self._next_record()
            region = Region(f"errors {record}", graph.tensors[tensor].nbytes)
            target = ErrorTensor(record, tensor, region, factor)
            # What keeps values keeps clamped ones: its output's errors are masked already.
            mask = None if rule.keeps_values else self._mask(tensor)
            self._nodes.append(Back(position, place, source, target, mask, layer, routes))
        first = self._pending.setdefault(tensor, target)
        if first is not target:
            self._nodes.append(Merge(first, target, ratio_of(target.factor / first.factor)))

    def _mask(self, tensor: int) -> Mask | None:
        clamp = self._clamp(tensor)
        if clamp is None:
            return None
        kept = tensor in self._keeps
        nbytes = (self._graph.tensors[tensor].size + 7) // 8
        bits = None if kept else Region(f"mask of tensor {tensor}", nbytes)
        (low, high), activation = clamp
        return Mask(tensor, low, high, activation, bits)

    def _clamp(self, tensor: int) -> tuple[tuple[int, int], Activation] | None:
        """Ends of the clamp that a tensor's values have gone through, and what it is part of."""
        graph = self._graph
        while tensor in self._producer:
            op = graph.ops[self._producer[tensor]]
            rule = find_rule(graph, op)
            if rule is None:
                return None
            if not rule.keeps_values:
                activation = getattr(op.options, "activation", Activation.NONE)
                if activation is Activation.NONE and not rule.saturates:
                    return None
                return activation_range(activation, graph.tensors[tensor]), activation
            tensor = op.inputs[0]
        return None

    def _next_record(self) -> int:
        self._records += 1
        return self._records - 1


def _macs(graph: Graph, node: Node) -> int:
    if isinstance(node, Merge):
        return 0
    layer = node.layer
    if layer is None:
        return 0
    op = graph.ops[layer.position]
    rule = weighted_rule(graph, layer.position)
    pixels = prod(graph.tensors[op.outputs[0]].shape) // rule.channels(graph, op)
    taps = rule.taps(graph, op)
    if isinstance(node, Back):
        return 0 if node.is_view else pixels * taps * rule.channels(graph, op)
    if layer.adapter is not None:
        rank = layer.adapter.rank
        return rank * (2 * pixels * (taps + layer.channels) + taps * layer.channels)
    return 0 if node.source.wide else pixels * taps * layer.channels
