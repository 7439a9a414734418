# SPDX-License-Identifier: Apache-2.0
"""TRANSPOSE: the same values with their dimensions in another order."""

from collections.abc import Sequence

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, DType, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.base import Operator, Scaling

DIMENSIONS = 4
"""As many loops as the kernel has."""


class Transpose(Operator):
    """Moves raw values; output dimension i is the input's dimension ``permutation[i]``."""

    kind = "TRANSPOSE"
    scaling = Scaling.SHARED
    code = 39
    options_type = 26
    arity = (2, 2)

    def permutation(self, graph: Graph, op: Op) -> tuple[int, ...]:
        """The input's dimensions in the order of the output's."""
        rank, given = len(self._input(graph, op, 0).shape), self._input(graph, op, 1)
        if given.dtype is not DType.INT32:
            self._malformed(graph, op, f'permutation "{given.name}" is {given.dtype}', "int32")
        values = self._constant(graph, op, 1, "permutation values").reshape(-1).tolist()
        order = tuple(value + rank if value < 0 else value for value in values)
        if sorted(order) != list(range(rank)):
            self._malformed(
                graph, op, f"permutation {values}", f"each of 0 to {rank - 1} exactly once"
            )
        return order

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        self._check_same_quantization(graph, op)
        shape = self._input(graph, op, 0).shape
        self._check_shape(graph, op, tuple(shape[i] for i in self.permutation(graph, op)))
        self._loops(graph, op)

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        return [inputs[0].transpose(self.permutation(graph, op))]

    def _loops(self, graph: Graph, op: Op) -> list[tuple[int, int]]:
        """(size, input elements to the next position) per output dimension, outermost first.

        Dimensions of 1 are left out, and those that follow each other in the input are one.

        Raises:
            UnsupportedError: More dimensions are left than the kernel has loops.
        """
        shape = self._input(graph, op, 0).shape
        strides, stride = [0] * len(shape), 1
        for i in reversed(range(len(shape))):
            strides[i], stride = stride, stride * shape[i]
        loops: list[tuple[int, int]] = []
        for i in self.permutation(graph, op):
            size, step = shape[i], strides[i]
            if size == 1:
                continue
            if loops and loops[-1][1] == size * step:
                size *= loops.pop()[0]
            loops.append((size, step))
        if len(loops) > DIMENSIONS:
            self._unsupported(
                graph, op, f"{len(loops)} dimensions change places", f"at most {DIMENSIONS}"
            )
        return [(1, 0)] * (DIMENSIONS - len(loops)) + loops

    def params(self, graph: Graph, op: Op, body: Body) -> str:
        """The address of the kernel's parameters."""
        sizes, steps = (", ".join(map(str, v)) for v in zip(*self._loops(graph, op), strict=True))
        body.include(c_structs.KERNELS)
        return body.struct(
            "fg_transpose_params",
            f"op{op.index}_params",
            {"size": f"{{{sizes}}}", "step": f"{{{steps}}}"},
        )

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        params = self.params(graph, op, body)
        source = self._pointer(graph, op, 0, body)
        body.call("fg_transpose", params, source, body.value(op.outputs[0], "int8_t"))
