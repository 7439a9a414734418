# SPDX-License-Identifier: Apache-2.0
"""MAX_POOL_2D: largest element under the window."""

import numpy as np

from fleetgrad_codegen.ir import Array
from fleetgrad_codegen.ops.pooling import Pooling
from fleetgrad_codegen.ops.window import Axis, tap_view


class MaxPool2D(Pooling):
    """Picks raw quantised values."""

    kind = "MAX_POOL_2D"
    code = 17
    kernel = "fg_max_pool2d"

    def _pool(self, values: Array, rows: Axis, columns: Axis) -> Array:
        border = ((rows.before, rows.after), (columns.before, columns.after), (0, 0))
        padded = np.pad(values, border, constant_values=-128)
        best = np.full((rows.output, columns.output, values.shape[2]), -128, np.int64)
        for row, column in np.ndindex(rows.window, columns.window):
            best = np.maximum(best, tap_view(padded, rows, columns, row, column))
        return best
