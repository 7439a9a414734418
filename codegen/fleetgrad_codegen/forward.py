# SPDX-License-Identifier: Apache-2.0
"""The forward pass as steps of a timeline: which memory each operator touches, and its code."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops import REGISTRY, growth
from fleetgrad_codegen.ops.activation import Activation, is_cut
from fleetgrad_codegen.ops.base import Operator, Scaling
from fleetgrad_codegen.persistent import place_variables
from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.program import Entry, Program, Step, Training
from fleetgrad_codegen.ranges import ranges_of


def build_program(graph: Graph, training: Training | None = None) -> Program:
    """The complete timeline of a model.

    Args:
        graph: The device's part of the model: integer tensors only.
        training: What follows the forward pass; None for inference.

    Returns:
        The program, ready to be planned.
    """
    values = assign_regions(graph, frozenset() if training is None else training.reads)
    replaced: Mapping[int, Step] = {} if training is None else training.replacements(values)
    forward: list[Step] = []
    for position, op in enumerate(graph.ops):
        forward.append(replaced.get(position) or OperatorStep.of(graph, position, values))
        is_ranged = graph.tensors[op.outputs[0]].range is not None
        if is_ranged and REGISTRY[op.kind].scaling is Scaling.FREE:
            forward.append(CountStep(graph, op, step_name(graph, position), values))
    after = () if training is None else training.steps(values)
    variables, ranges = place_variables(graph), ranges_of(graph)
    return Program(graph, (*forward, *after), values, training, variables, ranges)


def assign_regions(graph: Graph, preserved: Collection[int] = ()) -> Mapping[int, Region]:
    """The memory of every tensor that is computed at run time.

    A view (RESHAPE) shares the memory of its input. The result of an operator that can work in
    place takes over the memory of an input that nobody reads afterwards.

    Args:
        graph: The graph.
        preserved: Tensors that something behind the forward pass reads.

    Returns:
        A region per tensor index; constants have none. Tensors that share memory have regions of
        one name, each of its own size.
    """
    group = {index: index for index in graph.inputs}
    for position, op in enumerate(graph.ops):
        for index in op.outputs:
            group[index] = _leader(graph, position, op, group, preserved)
    names = _unique_names(graph, set(group.values()))
    return {
        index: Region(names[leader], graph.tensors[index].nbytes) for index, leader in group.items()
    }


def _leader(
    graph: Graph, position: int, op: Op, group: Mapping[int, int], preserved: Collection[int]
) -> int:
    """The tensor whose memory the output of an operator gets: an input's, or its own."""
    (output,) = op.outputs
    operator = REGISTRY[op.kind]
    if operator.is_view:
        return group[op.inputs[0]]
    still_read = {index for later in graph.ops[position + 1 :] for index in later.inputs}
    still_read |= {*preserved, *graph.outputs}
    for place in operator.reuses(graph, op):
        index = op.inputs[place]
        if index not in group:
            continue
        sharing = {other for other, leader in group.items() if leader == group[index]}
        if not sharing & still_read:
            return group[index]
    return output


def _unique_names(graph: Graph, leaders: Collection[int]) -> dict[int, str]:
    """Short names, with the tensor's index where that is not unique.

    All other regions have a space in their names (``op3 patch``), as has everything with an index;
    a tensor's own name is taken as it is only if it has none.
    """
    names: dict[int, str] = {}
    for leader in sorted(leaders):
        name = short_name(graph, leader)
        plain = " " not in name and name not in names.values()
        names[leader] = name if plain else f"{name} ({leader})"
    return names


@dataclass(frozen=True, slots=True)
class OperatorStep(Step):
    """One operator of the forward pass.

    Attributes:
        graph: The graph it belongs to.
        op: The operator.
        name: Position and kind.
        regions: Run-time inputs and outputs, and scratch memory where the kernel needs it.
    """

    graph: Graph
    op: Op
    name: str
    regions: tuple[Region, ...]

    @classmethod
    def of(cls, graph: Graph, position: int, values: Mapping[int, Region]) -> "OperatorStep":
        """The step for the operator at a position of ``graph.ops``."""
        op = graph.ops[position]
        used = [values[index] for index in (*op.inputs, *op.outputs) if index in values]
        scratch = scratch_of(REGISTRY[op.kind], graph, op, values)
        used += [] if scratch is None else [scratch]
        regions = tuple(dict.fromkeys((*used, *REGISTRY[op.kind].growth_regions(graph, op))))
        return cls(graph, op, step_name(graph, position), regions)

    @property
    def entries(self) -> frozenset[Entry]:
        """The forward pass alone."""
        return frozenset({Entry.FORWARD})

    def emit(self, body: Body) -> None:
        """Writes the operator's own code."""
        comment_operator(self.graph, self.op, self.name, body)
        with body.scope():
            REGISTRY[self.op.kind].emit(self.graph, self.op, body)


@dataclass(frozen=True, slots=True)
class CountStep(Step):
    """Counts outputs that a tensor's range has cut off, while the caller measures.

    Attributes:
        graph: The graph.
        op: The operator that made them.
        operator: What its step is called.
        values: Region of every tensor computed at run time.
    """

    graph: Graph
    op: Op
    operator: str
    values: Mapping[int, Region]

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return f"range of {self.operator}"

    @property
    def entries(self) -> frozenset[Entry]:
        """The forward pass."""
        return frozenset({Entry.FORWARD})

    @property
    def regions(self) -> tuple[Region, ...]:
        """The outputs."""
        return (self.values[self.op.outputs[0]],)

    def emit(self, body: Body) -> None:
        """Writes the count."""
        index = self.op.outputs[0]
        tensor = self.graph.tensors[index]
        activation = getattr(self.op.options, "activation", Activation.NONE)
        low, high = ("true" if cut else "false" for cut in is_cut(activation, tensor))
        made = f"{body.value(index, 'const int8_t')}, {tensor.size}U, {low}, {high}"
        body.include(growth.HEADER)
        body.line("if (state->measure) {")
        body.line(f"    CLIPPED({tensor.range}) += fg_count_clipped({made});")
        body.line("}")


def scratch_of(
    operator: Operator, graph: Graph, op: Op, values: Mapping[int, Region]
) -> Region | None:
    """Working memory of an operator, where its tensors lie as ``values`` says."""
    made = values[op.outputs[0]].name
    in_place = any(index in values and values[index].name == made for index in op.inputs)
    return operator.scratch_in_place(graph, op) if in_place else operator.scratch(graph, op)


def step_name(graph: Graph, position: int) -> str:
    """What the step of an operator is called: its position and kind."""
    return f"{position} {graph.ops[position].kind}"


def comment_operator(graph: Graph, op: Op, name: str, body: Body) -> None:
    """Says in a comment which operator follows, and the shape of what it makes."""
    output = graph.tensors[op.outputs[0]]
    shape = "x".join(map(str, output.shape[1:])) or "1"
    body.comment(f"{name}: {short_name(graph, op.outputs[0])} {shape}")


def short_name(graph: Graph, tensor: int) -> str:
    """A tensor's name without what converters append when they fuse operators."""
    return graph.tensors[tensor].name.split(";")[0] or f"tensor {tensor}"
