# SPDX-License-Identifier: Apache-2.0
"""Where a model's variables lie: memory that outlives a run, apart from the arena."""

from dataclasses import dataclass

from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.ops import initial_value, state_of
from fleetgrad_codegen.plan.buffers import DEFAULT_ALIGN


@dataclass(frozen=True, slots=True)
class Variable:
    """One operator's state.

    Attributes:
        tensor: Index into the graph's tensors.
        offset: In bytes from the start of the persistent memory.
        nbytes: Size.
        fill: Value of every byte when the model starts afresh.
    """

    tensor: int
    offset: int
    nbytes: int
    fill: int


def place_variables(graph: Graph) -> tuple[Variable, ...]:
    """One after the other, in the order of their operators.

    Raises:
        ValueError: A variable starts with bytes that differ, which no operator's check lets pass.
    """
    placed: list[Variable] = []
    offset = 0
    for op in graph.ops:
        for index in state_of(op):
            start = initial_value(graph.tensors[index]).tobytes()
            if len(set(start)) != 1:
                raise ValueError(f"variable {graph.tensors[index].name} has no single byte")
            placed.append(Variable(index, offset, len(start), start[0]))
            offset += len(start) + -len(start) % DEFAULT_ALIGN
    return tuple(placed)


def counters_offset(variables: tuple[Variable, ...]) -> int:
    """Where the counters of the range table lie: behind the variables."""
    end = max((variable.offset + variable.nbytes for variable in variables), default=0)
    return end + -end % DEFAULT_ALIGN


def persistent_bytes(variables: tuple[Variable, ...], ranges: int = 0) -> int:
    """Size of the memory that holds them, and a counter for each range."""
    if ranges:
        return counters_offset(variables) + 4 * ranges
    return max((variable.offset + variable.nbytes for variable in variables), default=0)
