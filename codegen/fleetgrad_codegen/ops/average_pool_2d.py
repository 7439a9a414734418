# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D: mean of the elements under the window, ties rounded away from zero."""

import numpy as np

from fleetgrad_codegen.ir import Array
from fleetgrad_codegen.ops.pooling import Pooling
from fleetgrad_codegen.ops.window import Axis, tap_view


class AveragePool2D(Pooling):
    """Averages raw quantised values: the zero point cancels out, rounding does not know of it."""

    kind = "AVERAGE_POOL_2D"
    code = 1
    kernel = "fg_average_pool2d"

    def _pool(self, values: Array, rows: Axis, columns: Axis) -> Array:
        border = ((rows.before, rows.after), (columns.before, columns.after), (0, 0))
        padded = np.pad(values, border)
        inside = np.pad(np.ones_like(values[..., :1]), border)
        total = np.zeros((rows.output, columns.output, values.shape[2]), np.int64)
        count = np.zeros((rows.output, columns.output, 1), np.int64)
        for row, column in np.ndindex(rows.window, columns.window):
            total += tap_view(padded, rows, columns, row, column)
            count += tap_view(inside, rows, columns, row, column)
        rounded: Array = (np.abs(total) + count // 2) // count
        return np.where(total < 0, -rounded, rounded)
