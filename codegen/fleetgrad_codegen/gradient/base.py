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
    """C expressions of one call that moves errors: pointers, all of them."""

    source: str
    errors: str
    mask: str
    target: str
    made: str
    routes: str


class GradientRule(ABC):
    """How errors pass an operator, from its output to its inputs.

    Attributes:
        kind: The operator's name in the TFLite schema.
        places: Inputs that have a gradient.
        keeps_values: Every output element is an input element, or stands for none: where the input
            was clamped, so is the output.
        is_view: Errors of input and output are the same memory.
    """

    kind: ClassVar[str]
    places: ClassVar[tuple[int, ...]] = (0,)
    keeps_values: ClassVar[bool] = False
    is_view: ClassVar[bool] = False

    def check(self, graph: Graph, op: Op) -> None:  # noqa: B027
        """Makes sure that errors can pass.

        Raises:
            SchemeError: They cannot, and why.
        """

    def _refuse(self, graph: Graph, op: Op, what: str, expected: str) -> NoReturn:
        raise SchemeError(what, graph.where(op), expected)


class MoveRule(GradientRule):
    """Errors are moved, not computed: the exponent stays."""

    def factor(self, graph: Graph, op: Op) -> float:  # noqa: ARG002
        """What a moved error stands for, by what it stood for."""
        return 1.0

    @abstractmethod
    def move(self, graph: Graph, op: Op, errors: Array, inputs: Mapping[int, Array]) -> Array:
        """Errors of an input, not masked yet.

        Args:
            graph: The graph the operator belongs to.
            op: The operator.
            errors: Of its output, in the output's shape.
            inputs: What it has read, by position; only where ``route_bytes`` is not 0.

        Returns:
            In the input's shape.
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

    @abstractmethod
    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """Writes the call that moves the errors."""
