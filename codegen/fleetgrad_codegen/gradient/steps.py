# SPDX-License-Identifier: Apache-2.0
"""The tape as steps of the timeline: their memory, and their C."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.forward import OperatorStep, short_name
from fleetgrad_codegen.gradient import adapter_steps
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, SumRule
from fleetgrad_codegen.gradient.forward_step import ForwardStep
from fleetgrad_codegen.gradient.tape import (
    Back,
    ErrorTensor,
    Learn,
    Mask,
    Merge,
    Node,
    Tape,
    plain_rule,
    weighted_rule,
)
from fleetgrad_codegen.gradient.weighted import Layer, rates_initialiser
from fleetgrad_codegen.ir import Op
from fleetgrad_codegen.ops import growth
from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.program import Entry, Step

_RECORD_BYTES = 6
"""Of an ``fg_error``; a static assertion in generated code compares."""


@dataclass(frozen=True, slots=True)
class BackwardStep(Step):
    """One step that the tape asks for.

    Attributes:
        label: Its name.
        runs_in: Entry points.
        touched: Arena memory.
        write: Writes its C.
        shadowed: See `Step.shadows`.
    """

    label: str
    runs_in: Entry
    touched: tuple[Region, ...]
    write: Callable[[Body], None]
    shadowed: tuple[int, ...] = ()

    @property
    def shadows(self) -> tuple[int, ...]:
        """See `Step.shadows`."""
        return self.shadowed

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return self.label

    @property
    def entries(self) -> frozenset[Entry]:
        """See `Step.entries`."""
        return frozenset({self.runs_in})

    @property
    def regions(self) -> tuple[Region, ...]:
        """See `Step.regions`."""
        return self.touched

    def emit(self, body: Body) -> None:
        """See `Step.emit`."""
        body.comment(self.label)
        with body.scope():
            self.write(body)


class TapeSteps:
    """Makes the steps of a tape.

    Args:
        tape: The way back.
        values: Region of every tensor computed at run time.
    """

    def __init__(self, tape: Tape, values: Mapping[int, Region]) -> None:
        self._tape = tape
        self._graph = tape.graph
        self._values = values
        self._records = Region("error records", _RECORD_BYTES * tape.records, kept=True)

    def begin(self) -> Step:
        """Checks the terms, and measures the loss's gradient."""
        first = next(node.source for node in self._tape.nodes if not isinstance(node, Merge))

        def write(body: Body) -> None:
            body.include(BACKWARD)
            body.line("if (fg_step_check(step) != FG_OK) {")
            body.line("    return FG_ERR_ARGUMENT;")
            body.line("}")
            body.line(f'_Static_assert(sizeof(fg_error) == {_RECORD_BYTES}U, "as planned");')
            count = first.region.nbytes // 2
            gradient = body.address(first.region, "const int16_t")
            body.call("fg_error_of_loss", gradient, f"{count}U", self._record(body, first))

        return BackwardStep("gradient", Entry.APPLY, (first.region, self._records), write)

    def reset(self) -> Step:
        """Forgets what was expected of errors."""

        def write(body: Body) -> None:
            body.include(BACKWARD)
            records = body.address(self._records, "fg_error")
            body.call("fg_errors_reset", records, f"{self._tape.records}U")

        return BackwardStep("reset of errors", Entry.REFRESH, (self._records,), write)

    def step(self, node: Node) -> Step:
        """The step of a node."""
        if isinstance(node, Merge):
            return self._merge(node)
        if isinstance(node, Learn):
            return self._learn(node)
        return self._back(node)

    def _merge(self, node: Merge) -> Step:
        into, other = node.into, node.other
        count = self._graph.tensors[into.tensor].size
        mantissa, exponent = node.ratio

        def write(body: Body) -> None:
            body.include(BACKWARD)
            body.call(
                "fg_merge_errors",
                f"{count}U",
                mantissa,
                exponent,
                self._record(body, into),
                body.address(into.region, "int8_t"),
                self._record(body, other),
                body.address(other.region, "const int8_t"),
            )

        label = f"errors {into.record} + errors {other.record}"
        regions = (into.region, other.region, self._records)
        return BackwardStep(label, Entry.APPLY, regions, write)

    def _back(self, node: Back) -> Step:
        regions = [node.source.region, node.target.region, self._records]
        if node.mask is not None:
            regions.append(node.mask.bits or self._values[node.mask.tensor])
        if node.routes is not None:
            regions.append(node.routes)
        op = self._graph.ops[node.position]
        label = f"errors {node.target.record} of {self._name(node.target.tensor)}"
        if node.is_view:
            label = f"errors {node.source.record} as {self._name(node.target.tensor)}"
            return BackwardStep(label, Entry.APPLY, (node.source.region,), lambda _: None)
        if node.layer is None:
            return self._back_plain(node, op, label, regions)
        return self._back_weighted(node, node.layer, op, label, regions)

    def _back_plain(self, node: Back, op: Op, label: str, regions: list[Region]) -> Step:
        rule = plain_rule(self._graph, node.position)
        scratch = None
        if isinstance(rule, SumRule):
            tensors = self._graph.tensors
            reads = rule.reads(op, node.place)
            regions += [self._values[index] for index in reads if tensors[index].data is None]
            words = rule.scratch_words(self._graph, op)
            if words:
                scratch = Region(f"sums of {label}", 4 * words)
                regions.append(scratch)

        def write(body: Body) -> None:
            rule.emit(self._graph, op, body, self._move_call(node, scratch, body))

        return BackwardStep(label, Entry.APPLY, tuple(dict.fromkeys(regions)), write)

    def _back_weighted(
        self, node: Back, layer: Layer, op: Op, label: str, regions: list[Region]
    ) -> Step:
        graph = self._graph
        rule = weighted_rule(graph, node.position)
        sums = Region(f"sums of {label}", rule.error_scratch(graph, op))

        def write(body: Body) -> None:
            kernel, ctype = rule.error_kernel, "const int8_t"
            if node.source.wide:
                kernel, ctype = f"{kernel}_of_loss", "const int16_t"
            body.call(
                kernel,
                rule.struct(graph, op, layer, body),
                rule.split_weights(graph, op, layer, body),
                self._record(body, node.source),
                body.address(node.source.region, ctype),
                self._mask(node.mask, body),
                body.address(sums, "int32_t"),
                self._record(body, node.target),
                body.address(node.target.region, "int8_t"),
            )

        touched = tuple(dict.fromkeys([*regions, sums]))
        return BackwardStep(label, Entry.APPLY, touched, write, _weights(op, layer))

    def _learn(self, node: Learn) -> Step:
        layer = node.layer
        graph, op = self._graph, self._graph.ops[layer.position]
        label = f"update of {self._name(op.outputs[0])}"
        if node.source.wide:
            return self._learn_head_bias(node, op, label)
        rule = weighted_rule(graph, layer.position)
        regions = [node.source.region, self._records]
        sums = None
        if layer.adapter is not None:
            nbytes = adapter_steps.scratch_bytes(graph, layer)
            scratch = Region(f"sums of {label}", nbytes)
            regions += [self._values[op.inputs[0]], scratch]

            def adapt(body: Body) -> None:
                pointers = (
                    self._record(body, node.source),
                    body.address(node.source.region, "const int8_t"),
                    body.value(op.inputs[0], "const int8_t"),
                    body.address(scratch, "int32_t"),
                )
                adapter_steps.emit_learn(graph, layer, body, pointers)

            touched = tuple(dict.fromkeys(regions))
            return BackwardStep(label, Entry.APPLY, touched, adapt, _weights(op, layer))
        if layer.channels:
            sums = Region(f"sums of {label}", rule.learn_scratch(graph, op))
            regions += [self._values[op.inputs[0]], sums]

        def write(body: Body) -> None:
            weights, bias = op.inputs[1:3]
            trains = sums is not None
            constants = rule.struct(graph, op, layer, body)
            if grown := growth.exponent(graph.tensors[op.inputs[0]]):
                now = body.local("fg_backward", f"back{op.index}_now", f"*{constants}")
                body.line(f"{now}.rates.growth = {grown};")
                constants = f"&{now}"
            body.call(
                rule.learn_kernel,
                constants,
                "step",
                self._record(body, node.source),
                body.address(node.source.region, "const int8_t"),
                body.value(op.inputs[0], "const int8_t") if trains else "NULL",
                "NULL" if sums is None else body.address(sums, "int32_t"),
                body.params(bias, "int32_t"),
                body.params(weights, "int16_t") if trains else "NULL",
                body.shadow(weights) if trains else "NULL",
            )

        touched = tuple(dict.fromkeys(regions))
        return BackwardStep(label, Entry.APPLY, touched, write, _weights(op, layer))

    def _learn_head_bias(self, node: Learn, op: Op, label: str) -> Step:
        rates = node.layer.rates
        channels = weighted_rule(self._graph, node.layer.position).channels(self._graph, op)
        rows = node.source.region.nbytes // 2 // channels

        def write(body: Body) -> None:
            body.include(BACKWARD)
            grown = growth.exponent(self._graph.tensors[op.inputs[0]])
            made = rates_initialiser(rates, f"back{op.index}", body, grown)
            body.call(
                "fg_bias_learn_of_loss",
                f"&(const fg_rates){made}",
                "step",
                self._record(body, node.source),
                body.address(node.source.region, "const int16_t"),
                f"{rows}U",
                f"{channels}U",
                body.params(op.inputs[2], "int32_t"),
            )

        return BackwardStep(label, Entry.APPLY, (node.source.region, self._records), write)

    def _record(self, body: Body, error: ErrorTensor) -> str:
        records = body.address(self._records, "fg_error")
        return f"{records} + {error.record}" if error.record else records

    def _mask(self, mask: Mask | None, body: Body) -> str:
        if mask is None:
            return "&(const fg_mask){NULL, NULL, 0, 0}"
        if mask.bits is not None:
            bits = body.address(mask.bits, "const uint8_t")
            return f"&(const fg_mask){{.bits = {bits}}}"
        values = body.value(mask.tensor, "const int8_t")
        low, high = growth.clamp_ends(self._graph, mask.tensor, mask.activation, body)
        return f"&(const fg_mask){{.values = {values}, .low = {low}, .high = {high}}}"

    def _move_call(self, node: Back, scratch: Region | None, body: Body) -> MoveCall:
        return MoveCall(
            place=node.place,
            source=self._record(body, node.source),
            errors=body.address(node.source.region, "const int8_t"),
            mask=self._mask(node.mask, body),
            target=self._record(body, node.target),
            made=body.address(node.target.region, "int8_t"),
            routes="NULL" if node.routes is None else body.address(node.routes, "const uint8_t"),
            scratch="NULL" if scratch is None else body.address(scratch, "int32_t"),
        )

    def _name(self, tensor: int) -> str:
        return short_name(self._graph, tensor)

    def forward(self) -> Mapping[int, Step]:
        """Forward steps that do more than their operator, by position; the head's is not one."""
        tape, graph = self._tape, self._graph
        head = next(node.source.tensor for node in tape.nodes if not isinstance(node, Merge))
        masks = {mask.tensor: mask for mask in tape.masks}
        routes = {
            node.position: node.routes
            for node in tape.nodes
            if isinstance(node, Back) and node.routes is not None
        }
        steps: dict[int, Step] = {}
        for position, op in enumerate(graph.ops):
            layer = tape.layers.get(position)
            trained = layer if op.outputs[0] != head else None
            mask, route = masks.get(op.outputs[0]), routes.get(position)
            if trained is not None or mask is not None or route is not None:
                parts = OperatorStep.of(graph, position, self._values), self._values
                steps[position] = ForwardStep(graph, position, *parts, trained, mask, route)
        return steps


def _weights(op: Op, layer: Layer) -> tuple[int, ...]:
    """A layer's weights, if any of them train."""
    return (op.inputs[1],) if layer.channels else ()


def is_head_update(node: Node) -> bool:
    """Whether the node is the update of the last layer's weights and bias."""
    return isinstance(node, Learn) and node.source.wide and node.layer.channels > 0
