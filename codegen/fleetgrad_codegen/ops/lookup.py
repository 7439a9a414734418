# SPDX-License-Identifier: Apache-2.0
"""What LOGISTIC and TANH share: a function of one value, as a table of all 256."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fleetgrad_codegen.emit.body import Body
from fleetgrad_codegen.ir import Array, Graph, Op
from fleetgrad_codegen.ops import c_structs
from fleetgrad_codegen.ops.base import Operator

Floats = npt.NDArray[np.float32]

_SMALLEST = 1e-30
"""Below it, and above its inverse, numbers leave float32 on the way."""


class Lookup(Operator):
    """Looks every value up in a table that the reference, too, makes when a model is loaded."""

    in_place = (0,)

    @abstractmethod
    def function(self, real: Floats) -> Floats:
        """The function on real numbers, rounded to float32 wherever the reference rounds."""

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        source, output = self._input(graph, op, 0), self._output(graph, op)
        for tensor in (source, output):
            scale = self._check_int8(graph, op, tensor).scale[0]
            if not _SMALLEST < scale < 1 / _SMALLEST:
                self._unsupported(
                    graph,
                    op,
                    f'"{tensor.name}" has scale {scale:g}',
                    f"between {_SMALLEST:g} and {1 / _SMALLEST:g}",
                )
        self._check_shape(graph, op, source.shape)

    def table(self, graph: Graph, op: Op) -> Array:
        """int8 outputs of the inputs -128 to 127, computed in float32 as the reference does."""
        source = self._check_int8(graph, op, self._input(graph, op, 0))
        target = self._check_int8(graph, op, self._output(graph, op))
        inputs = np.arange(-128, 128) - source.zero_point[0]
        real = np.float32(source.scale[0]) * inputs.astype(np.float32)
        steps = (self.function(real) * (np.float32(1) / np.float32(target.scale[0]))).astype(float)
        rounded = np.copysign(np.floor(np.abs(steps) + 0.5), steps)
        made: Array = np.clip(rounded + target.zero_point[0], -128, 127).astype(np.int8)
        return made

    def reference(self, graph: Graph, op: Op, inputs: Sequence[Array]) -> list[Array]:
        """See `Operator.reference`."""
        found: Array = self.table(graph, op)[inputs[0].astype(np.int64) + 128]
        return [found]

    def emit(self, graph: Graph, op: Op, body: Body) -> None:
        """See `Operator.emit`."""
        body.include(c_structs.KERNELS)
        body.call(
            "fg_lookup",
            body.table(f"op{op.index}_table", self.table(graph, op)),
            self._pointer(graph, op, 0, body),
            self._output(graph, op).size,
            body.value(op.outputs[0], "int8_t"),
        )
