# SPDX-License-Identifier: Apache-2.0
"""Gradients of LOGISTIC and TANH, which follow from their outputs."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, SumRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.training.convolve import Doubles

SLOPE_BITS = 15
_LARGEST_SLOPE = (1 << SLOPE_BITS) - 1


class LookupRule(SumRule):
    """Every error times the slope, a table over the output's 256 values."""

    saturates = False

    @abstractmethod
    def slope(self, output: Array) -> Array:
        """The function's derivative, by its value."""

    def table(self, graph: Graph, op: Op) -> Array:
        """int16 slopes of the outputs -128 to 127, in 2**-15."""
        found = graph.tensors[op.outputs[0]].quantization
        assert found is not None
        real = found.scale[0] * (np.arange(-128, 128) - found.zero_point[0])
        steps = np.floor(self.slope(real) * (1 << SLOPE_BITS) + 0.5)
        return steps.clip(0, _LARGEST_SLOPE).astype(np.int16)

    def reads(self, op: Op, place: int) -> tuple[int, ...]:  # noqa: ARG002
        """See `SumRule.reads`."""
        return (op.outputs[0],)

    def exponent(self, graph: Graph, op: Op) -> int:  # noqa: ARG002
        """See `SumRule.exponent`."""
        return -SLOPE_BITS

    def sums(
        self,
        graph: Graph,
        op: Op,
        place: int,  # noqa: ARG002
        errors: Array,
        values: Mapping[int, Array],
    ) -> Array:
        """See `SumRule.sums`."""
        seen = values[op.outputs[0]].astype(np.int64) + 128
        made: Array = errors * self.table(graph, op)[seen].astype(np.int64)
        return made

    def slopes(
        self,
        graph: Graph,  # noqa: ARG002
        op: Op,
        place: int,  # noqa: ARG002
        errors: Array,
        values: Mapping[int, Array],
    ) -> Array:
        """See `SumRule.slopes`."""
        return errors * self.slope(values[op.outputs[0]])

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `SumRule.emit`."""
        body.include(BACKWARD)
        body.call(
            "fg_lookup_error",
            body.table(f"back{op.index}_slope", self.table(graph, op)),
            body.value(op.outputs[0], "const int8_t"),
            f"{graph.tensors[op.outputs[0]].size}U",
            call.source,
            call.errors,
            call.mask,
            call.target,
            call.made,
        )


class LogisticRule(LookupRule):
    """p (1 - p)."""

    kind = "LOGISTIC"

    def slope(self, output: Array) -> Doubles:
        """See `LookupRule.slope`."""
        return np.asarray(output * (1.0 - output), np.float64)


class TanhRule(LookupRule):
    """1 - y squared; 0 where the quantisation reaches beyond 1."""

    kind = "TANH"

    def slope(self, output: Array) -> Doubles:
        """See `LookupRule.slope`."""
        return np.asarray(np.maximum(1.0 - output * output, 0.0), np.float64)
