# SPDX-License-Identifier: Apache-2.0
"""What a generated model does, as one timeline of steps, before memory is planned.

A step names the arena memory it touches and writes its own C. Forward operators are steps; a
training scheme adds its own (loss, update, refresh) by handing over a `Training`. The planner only
sees who touches what when; the emitter only asks each step for its lines. Neither knows an operator
or a scheme.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, Graph
from fleetgrad_codegen.persistent import Variable
from fleetgrad_codegen.plan.buffers import Region
from fleetgrad_codegen.ranges import Range


class Entry(StrEnum):
    """An entry point of ``fg_model``; the values are the names of its members.

    ``evaluate`` and ``accumulate`` begin with ``reset`` and ``forward``, so steps of the forward
    pass belong to ``FORWARD`` alone. ``reset`` has no steps: it follows from the variables.
    """

    RESET = "reset"
    FORWARD = "forward"
    EVALUATE = "evaluate"
    ACCUMULATE = "accumulate"
    APPLY = "apply"
    REFRESH = "refresh"


class Loss(StrEnum):
    """What is minimised; the values are the manifest's, and name ``FG_LOSS_*``."""

    NONE = "none"
    SOFTMAX_CROSS_ENTROPY = "softmax_cross_entropy"
    SQUARED_ERROR = "squared_error"
    BINARY_CROSS_ENTROPY = "binary_cross_entropy"


class SegmentKind(StrEnum):
    """What the numbers of a segment are; all but biases are int16."""

    BIAS = "bias"
    WEIGHT = "weight"
    DOWN = "down"
    UP = "up"

    @property
    def device(self) -> str:
        """What a device calls it: factors of an adapter are int16 like masters."""
        return "FG_SEGMENT_BIAS" if self is SegmentKind.BIAS else "FG_SEGMENT_WEIGHT"


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One trained tensor, as it lies in the parameter vector.

    Attributes:
        name: The tensor's name; what reports and messages call it.
        kind: Biases are int32 and used as they are; weights are int16 masters with an int8 shadow;
            the factors of an adapter are int16, and the shadow has the merged weights.
        tensor: Index into the graph's tensors.
        shape: Of what trains.
        offset: In bytes from the start of the parameter vector.
        scale: Of the quantised tensor: one value, or one per slice along its quantised axis.
        initial: Values as exported: int32 biases or int16 masters, of ``shape``.
        shadow_offset: In bytes from the start of the shadow; weights, and the factor "down".
        shadow_bytes: How many there.
        places: Along each dimension, which element of the model file's tensor stands where, or None
            where they are the first ones in its own order; empty where that is so throughout, and
            the segment is the whole tensor.
    """

    name: str
    kind: SegmentKind
    tensor: int
    shape: tuple[int, ...]
    offset: int
    scale: tuple[float, ...]
    initial: Array
    shadow_offset: int | None = None
    shadow_bytes: int = 0
    places: tuple[tuple[int, ...] | None, ...] = ()

    @property
    def count(self) -> int:
        """Number of parameters."""
        return int(self.initial.size)

    @property
    def nbytes(self) -> int:
        """Bytes in the parameter vector."""
        return int(self.initial.nbytes)


class Step(ABC):
    """One piece of straight-line code at one point of the timeline."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What memory maps and comments call it; unique in a program."""

    @property
    @abstractmethod
    def entries(self) -> frozenset[Entry]:
        """The entry points that run it, in the timeline's order."""

    @property
    @abstractmethod
    def regions(self) -> tuple[Region, ...]:
        """All arena memory it reads or writes; shared regions are equal, hence have one name."""

    @property
    def shadows(self) -> tuple[int, ...]:
        """Weights that it reads or writes as int8, in case they train."""
        return ()

    def alone(self) -> "Step":
        """What makes the step's result, without what it leaves for later besides."""
        return self

    @abstractmethod
    def emit(self, body: Body) -> None:
        """Writes the C of this step.

        Args:
            body: Takes the lines, and turns regions, tensors and arrays into C expressions.
                ``state`` is in scope everywhere, besides the other parameters of the entry point
                (``target``, ``metrics``, ``row``, ``rows``, ``step``).
        """


class Training(Protocol):
    """What a scheme adds to the forward pass of a graph."""

    @property
    def graph(self) -> Graph:
        """The graph that it trains: the device's own, or one that computes the same."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The parameter vector in order: biases first, without gaps."""

    @property
    def loss(self) -> Loss:
        """Never ``Loss.NONE``."""

    @property
    def batch(self) -> int:
        """Most rows between two updates, at least 1."""

    @property
    def classes(self) -> int:
        """Labels must be below it (generated code checks); 0 where targets are vectors."""

    @property
    def target_bytes(self) -> int:
        """Bytes of ``fg_target.values``; 0 where targets are labels."""

    @property
    def backward_macs(self) -> int:
        """Multiply-accumulates of one sample's share of loss gradient and update."""

    @property
    def largest_rate(self) -> float:
        """The learning rate from which on the smallest input moves a weight over its range."""

    @property
    def description(self) -> Mapping[str, object]:
        """What the manifest says under ``scheme``; JSON values only, with a ``name``."""

    @property
    def reads(self) -> frozenset[int]:
        """Tensors of the graph that steps() or replacements() read after their operator has run.

        No later operator may then reuse their memory in place.
        """

    def replacements(self, values: Mapping[int, Region]) -> Mapping[int, Step]:
        """Forward steps that take the place of an operator's own, by position in ``graph.ops``.

        Args:
            values: Where each tensor computed at run time lies; tensors that alias share a region.
        """

    def steps(self, values: Mapping[int, Region]) -> tuple[Step, ...]:
        """What follows the forward pass, in the order of time: loss, then update, then refresh."""


@dataclass(frozen=True, slots=True)
class Program:
    """A complete timeline.

    Attributes:
        graph: The device's part of the model.
        steps: In the order of time: the forward pass, then what training adds.
        values: The region of every tensor computed at run time.
        training: None for a model that only infers.
        variables: What outlives a run.
        ranges: The range table, whose exponents lie behind the segments in the parameter vector.
        recomputed: Tensors that are computed again after the forward pass; see `recompute`.
        paged: Whether trained weights become int8 in the arena, layer by layer; see `page_shadow`.
    """

    graph: Graph
    steps: tuple[Step, ...]
    values: Mapping[int, Region]
    training: Training | None = None
    variables: tuple[Variable, ...] = ()
    ranges: tuple[Range, ...] = ()
    recomputed: tuple[int, ...] = ()
    paged: bool = False

    @property
    def forward_steps(self) -> int:
        """Steps of the forward pass, which come first; more than operators where ranges grow."""
        return sum(Entry.FORWARD in step.entries for step in self.steps)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The parameter vector; empty for a model that only infers."""
        return () if self.training is None else self.training.segments
