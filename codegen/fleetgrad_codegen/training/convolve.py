# SPDX-License-Identifier: Apache-2.0
"""Sums of products on the way back through convolutions.

In float64 on BLAS: exact for integers, as no sum reaches 2**53.
"""

import numpy as np
import numpy.typing as npt

from fleetgrad_codegen.ir import Array
from fleetgrad_codegen.ops.window import Axis, tap_view

Doubles = npt.NDArray[np.float64]


def _border(rows: Axis, columns: Axis) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    return (rows.before, rows.after), (columns.before, columns.after), (0, 0)


def _empty(rows: Axis, columns: Axis, depth: int) -> Doubles:
    (top, bottom), (left, right), _ = _border(rows, columns)
    return np.zeros((top + rows.size + bottom, left + columns.size + right, depth))


def conv_errors(errors: Array, weights: Array, rows: Axis, columns: Axis) -> Doubles:
    """Sums for the input of a convolution.

    Args:
        errors: In a common unit, [h', w', outputs].
        weights: [outputs, kh, kw, inputs].
        rows: Geometry along the height.
        columns: Geometry along the width.

    Returns:
        float64 [h, w, inputs].
    """
    padded = _empty(rows, columns, weights.shape[3])
    seen, kernel = errors.astype(np.float64), weights.astype(np.float64)
    for row, column in np.ndindex(rows.window, columns.window):
        tap_view(padded, rows, columns, row, column)[...] += seen @ kernel[:, row, column]
    return _inner(padded, rows, columns)


def depthwise_errors(
    errors: Array, weights: Array, rows: Axis, columns: Axis, depth: int
) -> Doubles:
    """The same for a depthwise convolution with weights [kh, kw, outputs] on ``depth`` channels."""
    padded = _empty(rows, columns, depth)
    for row, column in np.ndindex(rows.window, columns.window):
        products = (errors * weights[row, column]).astype(np.float64)
        copies = products.reshape(*products.shape[:2], depth, -1).sum(axis=3)
        tap_view(padded, rows, columns, row, column)[...] += copies
    return _inner(padded, rows, columns)


def _inner(padded: Doubles, rows: Axis, columns: Axis) -> Doubles:
    """Without the border."""
    return padded[rows.before :, columns.before :][: rows.size, : columns.size]


def conv_gradient(errors: Array, centred: Array, rows: Axis, columns: Axis) -> Doubles:
    """Sums for the weights of a convolution.

    Args:
        errors: [h', w', outputs].
        centred: Inputs minus their zero point, [h, w, inputs].
        rows: Geometry along the height.
        columns: Geometry along the width.

    Returns:
        float64 [outputs, kh, kw, inputs].
    """
    padded = np.pad(centred, _border(rows, columns)).astype(np.float64)
    flat = errors.reshape(-1, errors.shape[2]).astype(np.float64).T
    depth = centred.shape[2]
    made = np.empty((errors.shape[2], rows.window, columns.window, depth))
    for row, column in np.ndindex(rows.window, columns.window):
        seen = tap_view(padded, rows, columns, row, column).reshape(-1, depth)
        made[:, row, column] = flat @ seen
    return made


def depthwise_gradient(errors: Array, centred: Array, rows: Axis, columns: Axis) -> Doubles:
    """The same for a depthwise convolution: float64 [kh, kw, outputs]."""
    padded = np.pad(centred, _border(rows, columns))
    outputs = errors.shape[2]
    spread = np.repeat(padded, outputs // centred.shape[2], axis=2)
    made = np.empty((rows.window, columns.window, outputs))
    for row, column in np.ndindex(rows.window, columns.window):
        made[row, column] = (errors * tap_view(spread, rows, columns, row, column)).sum(axis=(0, 1))
    return made
