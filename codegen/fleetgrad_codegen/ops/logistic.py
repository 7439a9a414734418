# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC: 1 / (1 + exp(-x))."""

import numpy as np

from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops.lookup import Floats, Lookup


class Logistic(Lookup):
    """The output scale is always 1/256."""

    kind = "LOGISTIC"
    code = 14

    def function(self, real: Floats) -> Floats:
        """See `Lookup.function`."""
        with np.errstate(over="ignore"):
            power = np.exp(-real.astype(np.float64)).astype(np.float32)
        return np.float32(1) / (np.float32(1) + power)

    def check(self, graph: Graph, op: Op) -> None:
        """See `Operator.check`."""
        super().check(graph, op)
        scale = self._check_int8(graph, op, self._output(graph, op)).scale[0]
        if scale != 1 / 256:
            self._malformed(graph, op, f"output scale {scale:g}", "scale 1/256")
