# SPDX-License-Identifier: Apache-2.0
"""What follows the forward pass: loss and gradient of the head, update, refresh.

The head itself is replaced by a step that keeps what training needs (centred inputs and 32-bit
accumulators) and then computes the same int8 output as the operator would.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.forward import comment_operator, step_name
from fleetgrad_codegen.head_memory import HeadMemory
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.ops import REGISTRY, growth
from fleetgrad_codegen.ops.activation import activation_range
from fleetgrad_codegen.ops.fixed_point import per_channel
from fleetgrad_codegen.ops.fully_connected import FullyConnected
from fleetgrad_codegen.ops.weighted import WeightedOperator, output_multipliers
from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.program import Entry, Loss, Segment, SegmentKind, Step
from fleetgrad_codegen.training.fixed_point import Scale
from fleetgrad_codegen.training.head import MASTER_UNITS, Head
from fleetgrad_codegen.training.learn import largest_rate
from fleetgrad_codegen.training.update import BIAS_LIMIT, MASTER_LIMIT

if TYPE_CHECKING:
    from fleetgrad_codegen.scheme.site import HeadSite

_HEADER = "fleetgrad/fg_train.h"


@dataclass(frozen=True, slots=True, eq=False)
class _HeadStep(Step):
    """A step that works on the head.

    Attributes:
        site: Where the layer is.
        head: Its constants.
        memory: Its arena memory.
        values: Region of every tensor computed at run time.
    """

    site: "HeadSite"
    head: Head
    memory: HeadMemory
    values: Mapping[int, Region]

    label: ClassVar[str]
    runs_in: ClassVar[frozenset[Entry]]
    has_weights: ClassVar[bool] = False

    @property
    def shadows(self) -> tuple[int, ...]:
        """The layer's weights, where the step touches them."""
        return self.site.op.inputs[1:2] if self.has_weights else ()

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return self.label

    @property
    def entries(self) -> frozenset[Entry]:
        """See `Step.entries`."""
        return self.runs_in

    def _constants(self, body: Body, *, scaled: bool = True) -> str:
        """The address of the ``fg_head``.

        Args:
            body: Takes it.
            scaled: Whether its constants have to follow the input's scale.
        """
        head = self.head
        body.include(_HEADER)
        tables = {
            field: body.structs("fg_scale", f"head_{field}", [_scale(s) for s in scales])
            for field, scales in (
                ("fine", head.fine),
                ("rate", head.rate),
                ("bias_rate", head.bias_rate),
            )
        }
        constants = body.struct(
            "fg_head",
            "head",
            {
                "inputs": head.inputs,
                "outputs": head.outputs,
                "positions": head.positions,
                "input_zero_point": head.input_zero_point,
                "relu": _boolean(head.relu),
                "pooled": _boolean(head.pooled),
                "layer": head.layer,
                "scale_stride": int(len(head.fine) > 1),
                **tables,
            },
        )
        grown = growth.exponent(self.site.source)
        if not grown or not scaled:
            return constants
        now = body.local("fg_head", "head_now", f"*{constants}")
        body.line(f"{now}.growth = {grown};")
        return f"&{now}"

    def _rows(self, body: Body, const: str = "") -> tuple[str, str]:
        inputs, gradients = self.memory.rows
        return body.address(inputs, f"{const}int16_t"), body.address(gradients, f"{const}int16_t")


class HeadForwardStep(_HeadStep):
    """The head, with its accumulators kept."""

    __slots__ = ()
    runs_in = frozenset({Entry.FORWARD})
    has_weights = True

    @property
    def name(self) -> str:
        """Same as the operator's own step."""
        return step_name(self.site.graph, self.site.position)

    @property
    def regions(self) -> tuple[Region, ...]:
        """Input and output of the operator, and what training keeps."""
        op = self.site.op
        source, made = self.values[op.inputs[0]], self.values[op.outputs[0]]
        grown = self._operator.growth_regions(self.site.graph, op)
        return source, self.memory.centred, self.memory.acc, *grown, made

    def emit(self, body: Body) -> None:
        """Writes the accumulation and the requantisation."""
        comment_operator(self.site.graph, self.site.op, self.name, body)
        with body.scope():
            self._emit(body)

    def _emit(self, body: Body) -> None:
        op, acc = self.site.op, self.memory.acc
        head = self._constants(body, scaled=False)
        body.call(
            "fg_head_forward",
            head,
            body.value(op.inputs[0], "const int8_t"),
            self._weights(body),
            self._bias(body),
            body.address(self.memory.centred, "int16_t"),
            body.address(acc, "int32_t"),
        )
        once = op.kind == "FULLY_CONNECTED"
        body.call(
            "fg_head_output_once" if once else "fg_head_output_twice",
            head,
            body.address(acc, "const int32_t"),
            self._wide_scales(body) if once else self._channel_scales(body),
            self._output(body),
            body.value(op.outputs[0], "int8_t"),
        )

    def _weights(self, body: Body) -> str:
        op, weights = self.site.op, self.site.weights
        if body.is_trained(op.inputs[1]):
            return body.trained(op.inputs[1])
        assert weights.data is not None
        return body.table(f"op{op.index}_weights", weights.data)

    def _bias(self, body: Body) -> str:
        op, bias = self.site.op, self.site.bias
        if body.is_trained(op.inputs[2]):
            return body.trained(op.inputs[2])
        assert bias.data is not None
        table = body.table(f"op{op.index}_bias", bias.data)
        grown = self._operator.grown_bias(self.site.graph, op)
        if grown is None:
            return table
        made, by = body.address(grown, "int32_t"), growth.exponent(self.site.source)
        body.include(growth.HEADER)
        body.call("fg_grow_bias", table, "NULL", f"{bias.size}U", by, made)
        return made

    def _wide_scales(self, body: Body) -> str:
        made = FullyConnected().multipliers(self.site.graph, self.site.op)
        rows = [{"high": m.high, "low": m.low, "shift": m.shift} for m in made]
        table = body.structs("fg_wide_scale", "head_scale", rows)
        return self._grown("fg_grow_scales", table, len(rows), "fg_wide_scale", body)

    def _grown(self, function: str, table: str, count: int, ctype: str, body: Body) -> str:
        """The C of a table of factors that follows grown scales."""
        by = growth.change(self.site.source, self.site.logits)
        region = self._operator.grown_scale(self.site.graph, self.site.op)
        if region is None:
            return table
        body.include(growth.HEADER)
        return f"{function}({table}, {count}U, {by}, {body.address(region, ctype)})"

    @property
    def _operator(self) -> WeightedOperator:
        found = REGISTRY[self.site.op.kind]
        assert isinstance(found, WeightedOperator)
        return found

    def _channel_scales(self, body: Body) -> str:
        site = self.site
        made = output_multipliers(site.source, site.weights, site.logits, site.outputs)
        value, shift = per_channel(made)
        table = body.table("head_scale_shift", shift.astype(np.int8))
        fields = {
            "value": body.table("head_scale_value", value.astype(np.int32)),
            "shift": table,
        }
        constants = body.struct("fg_channel_scale", "head_scale", fields)
        grown = self._grown("fg_grow_shifts", table, shift.size, "int8_t", body)
        if grown == table:
            return constants
        now = body.local("fg_channel_scale", "head_scale_now", f"*{constants}")
        body.line(f"{now}.shift = {grown};")
        return f"&{now}"

    def _output(self, body: Body) -> str:
        logits = self.site.logits
        assert logits.quantization is not None
        zero = logits.quantization.zero_point[0]
        low, high = activation_range(self.site.activation, logits)
        fields = {"low": low - zero, "high": high - zero, "zero_point": zero}
        return body.struct("fg_output", "head_output", fields)


class LossStep(_HeadStep):
    """Loss, gradient and prediction of one sample."""

    __slots__ = ()
    label = "loss"
    runs_in = frozenset({Entry.EVALUATE, Entry.ACCUMULATE})

    @property
    def regions(self) -> tuple[Region, ...]:
        """Accumulators, gradient, and the model's output."""
        output = self.values[self.site.graph.outputs[0]]
        return self.memory.acc, self.memory.gradient, output

    def emit(self, body: Body) -> None:
        """Writes the metrics."""
        body.comment(f"{self.name}: {self.head.loss.value}")
        with body.scope():
            self._emit(body)

    def _emit(self, body: Body) -> None:
        graph = self.site.graph
        head = self._constants(body)
        acc = body.address(self.memory.acc, "int32_t")
        gradient = body.address(self.memory.gradient, "int16_t")
        output = body.value(graph.outputs[0], "const int8_t")
        count = self.site.output.size
        body.line(f"metrics->loss = {self._call(head, f'{acc}, {gradient}')};")
        if self.head.classes and count == 1:
            body.line(f"metrics->predicted = *{output} >= 0 ? 1U : 0U;")  # 1/2 is 0
        else:
            body.line(f"metrics->predicted = fg_argmax({output}, {count}U);")
        correct = "metrics->predicted == target->label" if self.head.classes else "false"
        body.line(f"metrics->correct = {correct};")

    def _call(self, head: str, sums: str) -> str:
        if self.head.loss is Loss.SOFTMAX_CROSS_ENTROPY:
            return f"fg_loss_cross_entropy({head}, target->label, {sums})"
        if self.head.loss is Loss.BINARY_CROSS_ENTROPY:
            values = "NULL" if self.head.classes else "target->values"
            return f"fg_loss_binary_cross_entropy({head}, target->label, {values}, {sums})"
        if self.head.logistic:
            return f"fg_loss_squared_error_of_chances({head}, target->values, {sums})"
        zero = self.head.output_zero_point
        return f"fg_loss_squared_error({head}, target->values, {zero}, {sums})"


class KeepStep(_HeadStep):
    """Copies one sample's row to where the batch collects them."""

    __slots__ = ()
    label = "keep"
    runs_in = frozenset({Entry.ACCUMULATE})

    @property
    def regions(self) -> tuple[Region, ...]:
        """The sample's row and the batch's."""
        return self.memory.centred, self.memory.gradient, *self.memory.rows

    def emit(self, body: Body) -> None:
        """Writes the copy."""
        body.comment(self.name)
        body.call(
            "fg_head_keep",
            self._constants(body, scaled=False),
            "row",
            body.address(self.memory.centred, "const int16_t"),
            body.address(self.memory.gradient, "const int16_t"),
            *self._rows(body),
        )


class UpdateStep(_HeadStep):
    """Changes the parameters, and their shadow with them."""

    __slots__ = ()
    label = "update"
    runs_in = frozenset({Entry.APPLY})
    has_weights = True

    @property
    def regions(self) -> tuple[Region, ...]:
        """All rows, and scratch."""
        return *self.memory.rows, self.memory.coefficients

    def emit(self, body: Body) -> None:
        """Writes the update, and hands on its status."""
        body.comment(self.name)
        with body.scope():
            self._emit(body)

    def _emit(self, body: Body) -> None:
        weights, bias = self.site.op.inputs[1:3]
        centred, gradient = self._rows(body, "const ")
        arguments = (
            self._constants(body),
            "rows",
            "step",
            centred,
            gradient,
            body.address(self.memory.coefficients, "int32_t"),
            body.params(bias, "int32_t"),
            body.params(weights, "int16_t"),
            body.shadow(weights),
        )
        body.line(f"const fg_status status = fg_head_update({', '.join(arguments)});")
        body.line("if (status != FG_OK) {")
        body.line("    return status;")
        body.line("}")


class RefreshStep(_HeadStep):
    """Recomputes the shadow from the masters."""

    __slots__ = ()
    label = "refresh"
    runs_in = frozenset({Entry.REFRESH})
    has_weights = True

    @property
    def regions(self) -> tuple[Region, ...]:
        """No arena memory."""
        return ()

    def emit(self, body: Body) -> None:
        """Writes the call."""
        weights = self.site.op.inputs[1]
        body.include(_HEADER)
        count = self.site.weights.size
        body.call("fg_refresh", body.params(weights, "int16_t"), body.shadow(weights), f"{count}U")


class HeadTraining:
    """Training of one head; implements `fleetgrad_codegen.program.Training`.

    Args:
        site: Where the layer is in the device's graph.
        head: Its constants.
        batch: Most samples of one update.
        description: What the manifest says under ``scheme``.
    """

    def __init__(
        self, site: "HeadSite", head: Head, batch: int, description: Mapping[str, object]
    ) -> None:
        self._site = site
        self._head = head
        self._batch = batch
        self._description = dict(description)
        self._memory = HeadMemory(head, batch)

    @property
    def graph(self) -> Graph:
        """The graph it was made for."""
        return self._site.graph

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The bias as it is, then the weights as masters."""
        bias, weights = self._site.bias, self._site.weights
        assert bias.data is not None
        assert weights.data is not None
        assert bias.quantization is not None
        assert weights.quantization is not None
        first = Segment(
            name=bias.name,
            kind=SegmentKind.BIAS,
            tensor=self._site.op.inputs[2],
            shape=bias.shape,
            offset=0,
            scale=bias.quantization.scale,
            initial=bias.data.clip(-BIAS_LIMIT, BIAS_LIMIT).astype(np.int32),
        )
        masters = weights.data.astype(np.int64) * MASTER_UNITS
        second = Segment(
            name=weights.name,
            kind=SegmentKind.WEIGHT,
            tensor=self._site.op.inputs[1],
            shape=weights.shape,
            offset=first.nbytes,
            scale=weights.quantization.scale,
            initial=masters.clip(-MASTER_LIMIT, MASTER_LIMIT).astype(np.int16),
            shadow_offset=0,
            shadow_bytes=masters.size,
        )
        return first, second

    @property
    def loss(self) -> Loss:
        """What is minimised."""
        return self._head.loss

    @property
    def batch(self) -> int:
        """Most samples of one update."""
        return self._batch

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
        """One product per weight and position."""
        return self._head.positions * self._head.inputs * self._head.outputs

    @property
    def largest_rate(self) -> float:
        """See `fleetgrad_codegen.program.Training`."""
        return largest_rate(self._head.rate, self._head.bias_rate)

    @property
    def description(self) -> Mapping[str, object]:
        """What the manifest says under ``scheme``."""
        return self._description

    @property
    def reads(self) -> frozenset[int]:
        """What the layer reads, as its own step does not work in place."""
        return frozenset(self._site.op.inputs[:1])

    def replacements(self, values: Mapping[int, Region]) -> Mapping[int, Step]:
        """The head's own step."""
        step = HeadForwardStep(self._site, self._head, self._memory, values)
        return {self._site.position: step}

    def steps(self, values: Mapping[int, Region]) -> tuple[Step, ...]:
        """Loss, the batch's rows, update, refresh."""
        parts = (self._site, self._head, self._memory, values)
        keep = (KeepStep(*parts),) if self._batch > 1 else ()
        return (LossStep(*parts), *keep, UpdateStep(*parts), RefreshStep(*parts))


def _scale(scale: Scale) -> dict[str, str | int]:
    return {"mantissa": scale.mantissa, "exponent": scale.exponent}


def _boolean(value: bool) -> str:
    return "true" if value else "false"
