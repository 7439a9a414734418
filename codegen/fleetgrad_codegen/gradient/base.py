# SPDX-License-Identifier: Apache-2.0
"""What every gradient rule offers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.plan import Region

BACKWARD = "fleetgrad/fg_backward.h"
"""The header that all code of the backward pass includes."""


@dataclass(frozen=True, slots=True)
class MoveCall:
    """C expressions of one call that passes errors on: pointers, all of them but ``place``.

    Attributes:
        place: Which input gets them.
        source: What is known of the output's errors.
        errors: These errors.
        mask: Of the input.
        target: What becomes known of the input's errors.
        made: Where they go.
        routes: What the forward pass has noted down, or ``NULL``.
        scratch: As many words as the rule asks for, or ``NULL``.
    """

    place: int
    source: str
    errors: str
    mask: str
    target: str
    made: str
    routes: str
    scratch: str


class GradientRule(ABC):
    """How errors pass an operator, from its output to its inputs.

    Attributes:
        kind: The operator's name in the TFLite schema.
        places: Inputs that have a gradient.
        keeps_values: Every output element is an element of the one input, or stands for none: where
            the input was clamped, so is the output.
        saturates: Without a fused activation, int8's ends cut real values off.
        is_view: Errors of input and output are the same memory.
    """

    kind: ClassVar[str]
    places: ClassVar[tuple[int, ...]] = (0,)
    keeps_values: ClassVar[bool] = False
    saturates: ClassVar[bool] = True
    is_view: ClassVar[bool] = False

    def of(self, graph: Graph, op: Op) -> "GradientRule":  # noqa: ARG002
        """The rule for this use of the operator: this one, or one for a harder case."""
        return self

    def inputs(self, op: Op) -> tuple[int, ...]:  # noqa: ARG002
        """Positions of the inputs that have a gradient."""
        return self.places

    def check(self, graph: Graph, op: Op) -> None:  # noqa: B027
        """Makes sure that errors can pass.

        Raises:
            SchemeError: They cannot, and why.
        """

    def route_bytes(self, graph: Graph, op: Op) -> int:  # noqa: ARG002
        """Bytes that the forward pass notes down about where values came from."""
        return 0

    def emit_route(
        self,
        graph: Graph,  # noqa: ARG002
        op: Op,  # noqa: ARG002
        body: Body,  # noqa: ARG002
        routes: Region,  # noqa: ARG002
    ) -> None:
        """Writes what notes them down, behind the operator's own code."""
        raise ValueError(f"{self.kind} notes nothing down")

    def _refuse(self, graph: Graph, op: Op, what: str, expected: str) -> NoReturn:
        raise SchemeError(what, graph.where(op), expected)


class MoveRule(GradientRule):
    """Errors are moved, not computed: the exponent stays."""

    def factor(self, graph: Graph, op: Op) -> float:  # noqa: ARG002
        """What a moved error stands for, by what it stood for."""
        return 1.0

    @abstractmethod
    def move(
        self, graph: Graph, op: Op, place: int, errors: Array, inputs: Mapping[int, Array]
    ) -> Array:
        """Errors of an input, not masked yet.

        Args:
            graph: The graph the operator belongs to.
            op: The operator.
            place: Which input.
            errors: Of its output, in the output's shape.
            inputs: What it has read, by position; only where ``route_bytes`` is not 0.

        Returns:
            In the input's shape.
        """

    @abstractmethod
    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """Writes the call that moves the errors."""


class SumRule(GradientRule):
    """Errors are sums: 32-bit ones, which become int8 as those of layers do."""

    def reads(self, op: Op, place: int) -> tuple[int, ...]:  # noqa: ARG002
        """Tensors of which the way back needs the values."""
        return ()

    def factor(self, graph: Graph, op: Op, place: int) -> float:  # noqa: ARG002
        """Constant that is left out of the sums."""
        return 1.0

    def exponent(self, graph: Graph, op: Op) -> int:  # noqa: ARG002
        """Power of two that the sums add to the exponent of the errors."""
        return 0

    @abstractmethod
    def sums(
        self, graph: Graph, op: Op, place: int, errors: Array, values: Mapping[int, Array]
    ) -> Array:
        """Sums for an input, not masked yet.

        Args:
            graph: The graph the operator belongs to.
            op: The operator.
            place: Which input.
            errors: Of its output, int64 in the output's shape.
            values: int8 values of tensors, in their own shapes.

        Returns:
            int64 in the input's shape.
        """

    @abstractmethod
    def slopes(
        self, graph: Graph, op: Op, place: int, errors: Array, values: Mapping[int, Array]
    ) -> Array:
        """The same in real numbers, nothing left out."""

    def scratch_words(self, graph: Graph, op: Op) -> int:  # noqa: ARG002
        """32-bit words of working memory."""
        return 0

    @abstractmethod
    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """Writes the call that sums the errors up."""
