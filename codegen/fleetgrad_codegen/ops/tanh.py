# SPDX-License-Identifier: Apache-2.0
"""TANH: the hyperbolic tangent."""

import numpy as np

from fleetgrad_codegen.ops.lookup import Floats, Lookup


class Tanh(Lookup):
    """Any scales."""

    kind = "TANH"
    code = 28

    def function(self, real: Floats) -> Floats:
        """See `Lookup.function`."""
        return np.tanh(real.astype(np.float64)).astype(np.float32)
