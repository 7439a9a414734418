# SPDX-License-Identifier: Apache-2.0
"""Instructions of a training step, from what its kernels do and what that costs on a board."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fleetgrad_codegen.gradient.tape import Back, Learn, Merge, Node, weighted_rule
from fleetgrad_codegen.gradient.training import DeepTraining
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.ops import REGISTRY
from fleetgrad_codegen.program import Program

_FAMILIES: Final = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
}
KERNELS: Final = (
    *_FAMILIES.values(),
    "other",
    *(f"{family}_errors" for family in _FAMILIES.values()),
    "other_errors",
    *(f"{family}_update" for family in _FAMILIES.values()),
)
"""Kinds of kernels: of the forward pass, of errors on their way back, of updates."""


@dataclass(frozen=True, slots=True)
class Work:
    """What kernels of one kind do in a step.

    Attributes:
        macs: Multiply-accumulates.
        values: Elements that they make: outputs, errors, or parameters that change.
    """

    macs: int = 0
    values: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.macs + other.macs, self.values + other.values)


@dataclass(frozen=True, slots=True)
class KernelCost:
    """Instructions of kernels of one kind.

    Attributes:
        per_mac: For a multiply-accumulate.
        per_value: For an element made.
    """

    per_mac: float
    per_value: float


Rates = Mapping[str, KernelCost]
"""What a board says, by kind of kernel; kinds that it leaves out cost nothing."""


def flat_rates(per_mac: float) -> Rates:
    """One figure for every multiply-accumulate, for boards that say nothing."""
    return dict.fromkeys(KERNELS, KernelCost(per_mac, 0.0))


def instructions(work: Mapping[str, Work], rates: Rates) -> int:
    """Of one step, to nearest."""
    total = 0.0
    for kernel, done in work.items():
        if kernel in rates:
            total += rates[kernel].per_mac * done.macs + rates[kernel].per_value * done.values
    return int(total + 0.5)


def work_of(program: Program) -> dict[str, Work]:
    """What one step of a program does, forward and backward, by kind of kernel."""
    graph = program.graph
    found = dict.fromkeys(KERNELS, Work())
    for op in graph.ops:
        kernel = _FAMILIES.get(op.kind, "other")
        made = Work(REGISTRY[op.kind].macs(graph, op), graph.tensors[op.outputs[0]].size)
        found[kernel] += made
    if isinstance(program.training, DeepTraining):
        for node in program.training.tape.nodes:
            kernel, made = _back(graph, node)
            found[kernel] += made
    return found


def _back(graph: Graph, node: Node) -> tuple[str, Work]:
    if isinstance(node, Merge):
        return "other_errors", Work(0, graph.tensors[node.into.tensor].size)
    if node.layer is None:
        assert isinstance(node, Back)
        return "other_errors", Work(
            0, 0 if node.is_view else graph.tensors[node.target.tensor].size
        )
    op = graph.ops[node.layer.position]
    rule = weighted_rule(graph, node.layer.position)
    pixels = graph.tensors[op.outputs[0]].size // rule.channels(graph, op)
    taps, channels = rule.taps(graph, op), rule.channels(graph, op)
    family = _FAMILIES[op.kind]
    if isinstance(node, Learn):
        trained = node.layer.channels
        made = Work(pixels * (taps * trained + channels), taps * trained + channels)
        return f"{family}_update", made
    return f"{family}_errors", Work(
        pixels * taps * channels, graph.tensors[node.target.tensor].size
    )
