# SPDX-License-Identifier: Apache-2.0
"""Training of any part of a network, as `fleetgrad_codegen.program.Training`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetgrad_codegen.backward import HeadForwardStep, LossStep, UpdateStep
from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.forward import short_name
from fleetgrad_codegen.gradient.adapter_steps import emit_merge
from fleetgrad_codegen.gradient.arrange import Places
from fleetgrad_codegen.gradient.float_network import FloatNetwork
from fleetgrad_codegen.gradient.float_runs import FloatRuns
from fleetgrad_codegen.gradient.network import LayerParameters, Network
from fleetgrad_codegen.gradient.steps import BackwardStep, TapeSteps, is_head_update
from fleetgrad_codegen.gradient.tape import Tape, record_tape, weighted_rule
from fleetgrad_codegen.gradient.weighted import Layer, quantization
from fleetgrad_codegen.head_memory import HeadMemory
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.program import Entry, Loss, Segment, SegmentKind, Step
from fleetgrad_codegen.training.adapter import DOWN_BITS
from fleetgrad_codegen.training.head import Head
from fleetgrad_codegen.training.learn import largest_rate

if TYPE_CHECKING:
    from fleetgrad_codegen.scheme.site import HeadSite

_BATCH = 1
"""Gradients are consumed as they come, so there is nothing to collect a batch in."""


class DeepTraining:
    """Steps that train any layers of a graph; implements `fleetgrad_codegen.program.Training`.

    Args:
        site: Where the last layer is in the device's graph.
        head: Its constants.
        trained: Output channels whose weights train, by position of the layers whose biases train.
        description: What the manifest says under ``scheme``.
        ranks: Of low-rank adapters, by position of layers that train whole.
        places: Where the elements of rearranged constants are in the model file, by tensor.
        hint: What to try when errors cannot pass the operator at a position.

    Raises:
        SchemeError: A layer cannot train, or errors cannot pass an operator.
    """

    def __init__(
        self,
        site: "HeadSite",
        head: Head,
        trained: Mapping[int, int],
        description: Mapping[str, object],
        *,
        ranks: Mapping[int, int] | None = None,
        places: Mapping[int, Places] | None = None,
        hint: Callable[[int], str] = lambda _: "",
    ) -> None:
        self._places = dict(places or {})
        self._site = site
        self._head = head
        self._description = dict(description)
        self._memory = HeadMemory(head, _BATCH)
        gradient = self._memory.gradient
        self._tape = record_tape(
            site.graph,
            site.position,
            gradient,
            head.slope,
            trained=trained,
            ranks=ranks,
            hint=hint,
        )

    @property
    def graph(self) -> Graph:
        """The graph that it trains, channels arranged."""
        return self._site.graph

    @property
    def network(self) -> Network:
        """The executable specification of this training."""
        return Network(self._site.graph, self._site.position, self._head, self._tape)

    @property
    def float_network(self) -> FloatNetwork:
        """The same in real numbers."""
        return FloatNetwork(self._site.graph, self._site.position, self._head, self._tape)

    @property
    def float_runs(self) -> FloatRuns:
        """The same for many trainings side by side; cross-entropy only."""
        return FloatRuns(self._site.graph, self._site.position, self._head, self._tape)

    @property
    def tape(self) -> Tape:
        """The way back."""
        return self._tape

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All biases in the order of the graph, then all weights."""
        return _Layout(self.graph, self._tape, self.network, self._places).segments()

    @property
    def loss(self) -> Loss:
        """What is minimised."""
        return self._head.loss

    @property
    def batch(self) -> int:
        """One sample per update."""
        return _BATCH

    @property
    def classes(self) -> int:
        """As many as there are labels."""
        return self._head.classes

    @property
    def target_bytes(self) -> int:
        """One int8 per output of the model, where targets are vectors."""
        return self._head.target_bytes

    @property
    def backward_macs(self) -> int:
        """Errors and gradients of all layers."""
        layer = self._tape.layers.get(self._site.position)
        own = self._head.positions * self._head.inputs * self._head.outputs
        return self._tape.macs + (own if layer is not None and layer.channels else 0)

    @property
    def largest_rate(self) -> float:
        """See `fleetgrad_codegen.program.Training`."""
        rates = [layer.rates for layer in self._tape.layers.values() if layer.rates is not None]
        found = [largest_rate(one.weight, one.bias) for one in rates]
        return min([largest_rate(self._head.rate, self._head.bias_rate), *found])

    @property
    def description(self) -> Mapping[str, object]:
        """What the manifest says under ``scheme``."""
        return self._description

    @property
    def reads(self) -> frozenset[int]:
        """What the way back reads, and the last layer, whose step does not work in place."""
        return self._tape.keeps | {self._site.op.inputs[0]}

    def replacements(self, values: Mapping[int, Region]) -> Mapping[int, Step]:
        """Layers that train, operators that leave a mask or routes, and the head."""
        steps = dict(TapeSteps(self._tape, values).forward())
        site = self._site
        steps[site.position] = HeadForwardStep(site, self._head, self._memory, values)
        return steps

    def steps(self, values: Mapping[int, Region]) -> tuple[Step, ...]:
        """Loss, the tape, refresh."""
        parts = (self._site, self._head, self._memory, values)
        made = TapeSteps(self._tape, values)
        tape = tuple(
            UpdateStep(*parts) if is_head_update(node) else made.step(node)
            for node in self._tape.nodes
        )
        return (LossStep(*parts), made.begin(), *tape, made.reset(), *self._refresh())

    def _refresh(self) -> Sequence[Step]:
        return [
            _refresh_step(self._site.graph, layer)
            for layer in self._tape.layers.values()
            if layer.channels
        ]


def _refresh_step(graph: Graph, layer: Layer) -> Step:
    """Recomputes one layer's shadow from its masters, or from an adapter's factors."""
    op, rule = graph.ops[layer.position], weighted_rule(graph, layer.position)
    weights = op.inputs[1]
    count = layer.channels * rule.taps(graph, op)

    def write(body: Body) -> None:
        if layer.adapter is not None:
            emit_merge(graph, layer, body)
            return
        body.include("fleetgrad/fg_train.h")
        body.call("fg_refresh", body.params(weights, "int16_t"), body.shadow(weights), f"{count}U")

    label = f"refresh of {short_name(graph, op.outputs[0])}"
    return BackwardStep(label, Entry.REFRESH, (), write, (weights,))


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Where parameters lie."""

    graph: Graph
    tape: Tape
    network: Network
    places: Mapping[int, Places]

    def segments(self) -> tuple[Segment, ...]:
        initial = self.network.initial()
        made: list[Segment] = []
        offset = shadow = 0
        for position in self.tape.layers:
            index = self.graph.ops[position].inputs[2]
            tensor = self.graph.tensors[index]
            values = initial[position].bias.reshape(tensor.shape).astype(np.int32)
            made.append(
                Segment(
                    name=tensor.name,
                    kind=SegmentKind.BIAS,
                    tensor=index,
                    shape=tensor.shape,
                    offset=offset,
                    scale=quantization(tensor).scale,
                    initial=values,
                    places=self.places.get(index, ()),
                )
            )
            offset += values.nbytes
        for position, layer in self.tape.layers.items():
            if not layer.channels:
                continue
            index = self.graph.ops[position].inputs[1]
            if layer.adapter is not None:
                factors = self._factors(position, layer, initial[position], offset, shadow)
                made.extend(factors)
                offset += sum(factor.nbytes for factor in factors)
                shadow += factors[0].shadow_bytes
                continue
            masters = self.network.own_layout(position, initial[position].masters)
            made.append(
                Segment(
                    name=self.graph.tensors[index].name,
                    kind=SegmentKind.WEIGHT,
                    tensor=index,
                    shape=masters.shape,
                    offset=offset,
                    scale=self._scales(position, layer),
                    initial=masters.astype(np.int16),
                    shadow_offset=shadow,
                    shadow_bytes=masters.size,
                    places=self._weight_places(position, masters.shape),
                )
            )
            offset += made[-1].nbytes
            shadow += made[-1].count
        return tuple(made)

    def _factors(
        self, position: int, layer: Layer, found: LayerParameters, offset: int, shadow: int
    ) -> tuple[Segment, Segment]:
        """Of an adapter: down, then up."""
        index = self.graph.ops[position].inputs[1]
        adapter, name = found.adapter, self.graph.tensors[index].name
        assert adapter is not None
        down = Segment(
            name=f"{name}/down",
            kind=SegmentKind.DOWN,
            tensor=index,
            shape=adapter.down.shape,
            offset=offset,
            scale=(2.0**-DOWN_BITS,),
            initial=adapter.down.astype(np.int16),
            shadow_offset=shadow,
            shadow_bytes=adapter.up.shape[0] * adapter.down.shape[1],
        )
        up = Segment(
            name=f"{name}/up",
            kind=SegmentKind.UP,
            tensor=index,
            shape=adapter.up.shape,
            offset=offset + down.nbytes,
            scale=self._scales(position, layer),
            initial=adapter.up.astype(np.int16),
        )
        return down, up

    def _weight_places(self, position: int, shape: tuple[int, ...]) -> Places:
        """Of the channels that train."""
        index = self.graph.ops[position].inputs[1]
        whole = self.graph.tensors[index].shape
        places = self.places.get(index)
        if places is None:
            return () if shape == whole else (None,) * len(shape)
        return tuple(
            None if place is None else place[:size]
            for place, size in zip(places, shape, strict=True)
        )

    def _scales(self, position: int, layer: Layer) -> tuple[float, ...]:
        """Those of the channels that train."""
        rule, op = weighted_rule(self.graph, position), self.graph.ops[position]
        scales = rule.weight_scales(self.graph, op)
        return scales if len(scales) == 1 else scales[: layer.channels]
