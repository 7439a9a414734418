# SPDX-License-Identifier: Apache-2.0
"""Gradients of ADD with repetition, SUB and MUL: a factor per element, summed where repeated."""

from collections.abc import Mapping
from typing import ClassVar, cast

import numpy as np

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.gradient.base import BACKWARD, MoveCall, SumRule
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import REGISTRY, c_structs
from fleetgrad_codegen.ops.elementwise import Elementwise

_MOST_REPEATS = 1 << 16
"""Products of an error and a centred value, so many of them, fit 32 bits."""


class PairRule(SumRule):
    """The output's error times a constant, or times the other input.

    Attributes:
        signs: Of the two inputs; None where each is a factor of the other.
    """

    places = (0, 1)
    signs: ClassVar[tuple[int, int] | None]

    def check(self, graph: Graph, op: Op) -> None:
        """See `GradientRule.check`."""
        made = graph.tensors[op.outputs[0]].size
        repeats = max(made // graph.tensors[index].size for index in op.inputs)
        if repeats > _MOST_REPEATS:
            self._refuse(
                graph, op, f"a value is repeated {repeats} times", f"at most {_MOST_REPEATS}"
            )

    def reads(self, op: Op, place: int) -> tuple[int, ...]:
        """See `SumRule.reads`."""
        return () if self.signs is not None else (op.inputs[1 - place],)

    def factor(self, graph: Graph, op: Op, place: int) -> float:
        """The other input's scale."""
        if self.signs is not None:
            return 1.0
        found = graph.tensors[op.inputs[1 - place]].quantization
        assert found is not None
        return found.scale[0]

    def sums(
        self, graph: Graph, op: Op, place: int, errors: Array, values: Mapping[int, Array]
    ) -> Array:
        """See `SumRule.sums`."""
        if self.signs is not None:
            return self._gathered(graph, op, place, errors * self.signs[place])
        other = op.inputs[1 - place]
        centred = values[other].astype(np.int64) - c_structs.zero_point(graph.tensors[other])
        return self._gathered(graph, op, place, errors * centred)

    def slopes(
        self, graph: Graph, op: Op, place: int, errors: Array, values: Mapping[int, Array]
    ) -> Array:
        """See `SumRule.slopes`."""
        factor = values[op.inputs[1 - place]] if self.signs is None else self.signs[place]
        return self._gathered(graph, op, place, errors * factor)

    def _gathered(self, graph: Graph, op: Op, place: int, products: Array) -> Array:
        """Sums over all positions where an element of the input is read."""
        shape = graph.tensors[op.inputs[place]].shape
        padded = (1,) * (products.ndim - len(shape)) + shape
        axes = tuple(
            axis for axis, size in enumerate(padded) if size == 1 and products.shape[axis] > 1
        )
        made: Array = products.sum(axis=axes).reshape(shape)
        return made

    def emit(self, graph: Graph, op: Op, body: Body, call: MoveCall) -> None:
        """See `SumRule.emit`."""
        body.include(BACKWARD)
        other = graph.tensors[op.inputs[1 - call.place]]
        factors, sign, zero = "NULL", 1, 0
        if self.signs is not None:
            sign = self.signs[call.place]
        else:
            zero = c_structs.zero_point(other)
            factors = (
                body.value(op.inputs[1 - call.place], "const int8_t")
                if other.data is None
                else body.table(f"op{op.index}_input{1 - call.place}", other.data)
            )
        operator = cast("Elementwise", REGISTRY[op.kind])
        params = body.struct(
            "fg_pair_params",
            f"back{op.index}_{call.place}",
            {
                "shape": operator.broadcast(graph, op).initialiser,
                "place": call.place,
                "sign": sign,
                "zero": zero,
            },
        )
        body.call(
            "fg_pair_error",
            params,
            factors,
            call.source,
            call.errors,
            call.mask,
            call.target,
            call.made,
        )


class RepeatedAddRule(PairRule):
    """Both inputs get the output's errors."""

    kind = "ADD"
    signs = (1, 1)


class SubRule(PairRule):
    """The second input gets them with another sign."""

    kind = "SUB"
    signs = (1, -1)


class MulRule(PairRule):
    """Each input gets them times the other one."""

    kind = "MUL"
    signs = None
