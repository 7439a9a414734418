# SPDX-License-Identifier: Apache-2.0
"""What ADD, SUB and MUL share: two tensors, of which one may be repeated to fit the other."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from fleetgrad_codegen.frontend.flatbuffer import Table
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops.activation import Activation, activation_range, parse_activation
from fleetgrad_codegen.ops.base import Operator

DIMENSIONS = 3
"""As many loops as the kernels have."""


@dataclass(frozen=True, slots=True)
class ElementwiseOptions:
    """Options of ADD, SUB and MUL."""

    activation: Activation


@dataclass(frozen=True, slots=True)
class Broadcast:
    """How the inputs' elements meet, in ``DIMENSIONS`` loops, outermost first.

    Attributes:
        size: Positions of the output.
        step: Per input, elements from one position to the next; 0 where a value is repeated.
    """

    size: tuple[int, ...]
    step: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def initialiser(self) -> str:
        """An ``fg_broadcast``."""
        size, first, second = (", ".join(map(str, values)) for values in (self.size, *self.step))
        return f"{{.size = {{{size}}}, .step = {{{{{first}}}, {{{second}}}}}}}"


class Elementwise(Operator):
    """An operator on pairs of elements."""

    arity = (2, 2)
    in_place = (0, 1)

    def parse(self, options: Table | None) -> ElementwiseOptions:
        """Reads the fused activation, the first field of the options of all three."""
        return ElementwiseOptions(parse_activation(options.i8(0) if options else 0))

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        first, second = self._input(graph, op, 0), self._input(graph, op, 1)
        for tensor in (first, second, self._output(graph, op)):
            self._check_int8(graph, op, tensor)
        try:
            shape = np.broadcast_shapes(first.shape, second.shape)
        except ValueError:
            self._malformed(
                graph,
                op,
                f"inputs of shapes {first.shape} and {second.shape}",
                "dimensions that are equal, or 1 in one of the two",
            )
        self._check_shape(graph, op, shape)
        self.broadcast(graph, op)

    def limits(self, graph: Graph, op: Op) -> tuple[int, int]:
        """Smallest and largest output, the fused activation applied."""
        options = cast("ElementwiseOptions", op.options)
        return activation_range(options.activation, self._output(graph, op))

    def broadcast(self, graph: Graph, op: Op) -> Broadcast:
        """How the inputs' elements meet; neighbouring dimensions that behave alike are one.

        Raises:
            UnsupportedError: More dimensions are left than the kernels have loops.
        """
        shape = self._output(graph, op).shape
        inputs = [self._input(graph, op, i).shape for i in (0, 1)]
        padded = [(1,) * (len(shape) - len(given)) + given for given in inputs]
        merged: list[tuple[int, tuple[bool, bool]]] = []
        for size, *parts in zip(shape, *padded, strict=True):
            moves = (parts[0] == size, parts[1] == size)
            if size == 1:
                continue
            alike = merged.pop()[0] if merged and merged[-1][1] == moves else 1
            merged.append((alike * size, moves))
        if len(merged) > DIMENSIONS:
            self._unsupported(
                graph,
                op,
                f"inputs of shapes {inputs[0]} and {inputs[1]} alternate {len(merged)} times "
                "between repeating and not",
                f"at most {DIMENSIONS} times",
            )
        merged = [(1, (False, False))] * (DIMENSIONS - len(merged)) + merged
        steps: list[tuple[int, ...]] = []
        for which in (0, 1):
            stride, step = 1, []
            for size, moves in reversed(merged):
                step.append(stride if moves[which] else 0)
                stride *= size if moves[which] else 1
            steps.append(tuple(reversed(step)))
        return Broadcast(tuple(size for size, _ in merged), (steps[0], steps[1]))
