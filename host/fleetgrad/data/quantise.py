# SPDX-License-Identifier: Apache-2.0
"""Samples and targets in the integers that the device computes with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad.bundle import Bundle, TensorSpec
from fleetgrad.data.dataset import rows
from fleetgrad.errors import DataError


def quantise_input(x: NDArray[Any], spec: TensorSpec, *, where: str) -> NDArray[np.int8]:
    """Samples as the device's input tensor.

    Args:
        x: n x shape. Floating point means real units; int8 (uint8) is taken as it is where the
            model file itself takes int8 (uint8).
        spec: The model's input.
        where: File and array, for errors.

    Returns:
        n x (elements of one sample), int8, C order.

    Raises:
        DataError: When shape or dtype do not fit.
    """
    flat = _fit(x, spec, where)
    if x.dtype == np.int8 and spec.source_dtype == "int8":
        return flat
    if x.dtype == np.uint8 and spec.source_dtype == "uint8":
        return (flat.astype(np.int16) - 128).astype(np.int8)
    if np.issubdtype(x.dtype, np.floating):
        return _affine(flat, spec)
    bytes_too = spec.source_dtype in ("int8", "uint8")
    own = f", or {spec.source_dtype} as the model has it" if bytes_too else ""
    raise DataError(
        f"samples are {x.dtype}",
        where=where,
        expected=f"floating point in real units{own}",
        hint="x.astype('float32'), scaled as the model was trained on",
    )


def labels(y: NDArray[Any], bundle: Bundle, *, where: str) -> NDArray[np.uint16]:
    """Class labels, checked.

    Args:
        y: n, integer, 0 .. classes - 1.
        bundle: Tells the number of classes.
        where: File and array, for errors.

    Returns:
        n, uint16.

    Raises:
        DataError: When a label is no integer or out of range; the message names the rows.
    """
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(
            f"labels are {y.dtype} with the shape {y.shape}",
            where=where,
            expected="one integer for every sample",
            hint="for target vectors set scheme.loss = 'squared_error'",
        )
    bad = np.flatnonzero((y < 0) | (y >= bundle.classes))
    if bad.size:
        raise DataError(
            f"{bad.size} labels are out of range, the first is {y[bad[0]]}",
            where=f"{where}, {rows(bad)}",
            expected=f"0 to {bundle.classes - 1}: the model has {bundle.classes} classes",
            hint="scheme.classes = N puts a new head with N classes in place",
        )
    return y.astype(np.uint16)


def vectors(y: NDArray[Any], spec: TensorSpec, *, where: str) -> NDArray[np.int8]:
    """Target vectors in the output's quantisation: n x elements, int8.

    Args:
        y: n x shape of the output, floating point in real units, or int8 as it is.
        spec: The model's output.
        where: File and array, for errors.

    Raises:
        DataError: When shape or dtype do not fit.
    """
    flat = _fit(y.reshape(len(y), -1) if y.ndim == 1 else y, spec, where)
    if y.dtype == np.int8:
        return flat
    if np.issubdtype(y.dtype, np.floating):
        return _affine(flat, spec)
    raise DataError(
        f"target vectors are {y.dtype}",
        where=where,
        expected="floating point in real units, or int8 in the output's quantisation",
    )


def _fit(array: NDArray[Any], spec: TensorSpec, where: str) -> NDArray[Any]:
    """Flattens samples whose shape is the tensor's; axes of length 1 may be left out or added."""
    given = tuple(n for n in array.shape[1:] if n != 1)
    wanted = tuple(n for n in spec.shape if n != 1)
    if given != wanted:
        raise DataError(
            f"a sample has the shape {array.shape[1:]}",
            where=where,
            expected=f"{spec.shape[1:]}, as the model has it",
        )
    return np.ascontiguousarray(array).reshape(len(array), -1)


def _affine(flat: NDArray[Any], spec: TensorSpec) -> NDArray[np.int8]:
    """TFLite's QUANTIZE: float32 division, round half away from zero, clamp."""
    with np.errstate(over="ignore"):  # beyond float32 is beyond int8 as well
        scaled = flat.astype(np.float32) / np.float32(spec.scale)
    # Adding 0.5 in float64 is exact for every float32 below 2^51; in float32 it is not.
    wide = scaled.astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(wide) + 0.5), wide)
    clamped: NDArray[np.int8] = np.clip(rounded + spec.zero_point, -128, 127).astype(np.int8)
    return clamped
