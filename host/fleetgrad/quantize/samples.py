# SPDX-License-Identifier: Apache-2.0
"""Samples that fix the ranges of activations, and those that accuracy is measured on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgrad.data import Dataset
from fleetgrad.errors import DataError


@dataclass(frozen=True, eq=False)
class Representative:
    """A data set as a float model sees it.

    Attributes:
        calibration: float32 [n, ...], in the shape of the model's input.
        x: float32 [m, ...]: held-out samples, or all where none are.
        y: Labels [m]; None where the data set has none.
    """

    calibration: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.int64] | None


def representative(data: Dataset, shape: tuple[int, ...], count: int) -> Representative:
    """Picks and shapes samples.

    Args:
        data: Checked: its numbers are finite.
        shape: Of one sample, without the batch dimension.
        count: How many samples fix the ranges; evenly spaced ones, of those that are not held out.

    Raises:
        DataError: Samples have another shape, or all the same value.
    """
    given = tuple(n for n in data.x.shape[1:] if n != 1)
    if given != tuple(n for n in shape if n != 1):
        raise DataError(
            f"a sample has the shape {data.x.shape[1:]}",
            where=f"{data.source}: x",
            expected=f"{shape}, as the model has it",
        )
    if data.x.dtype.kind not in "fiu":
        raise DataError(
            f"samples are {data.x.dtype}", where=f"{data.source}: x", expected="numbers"
        )
    x = data.x.reshape(len(data.x), *shape)
    learning = np.flatnonzero(~data.test) if data.test is not None else np.arange(len(x))
    if not len(learning):
        raise DataError(
            "every sample is held out", where=f"{data.source}: test", expected="some that are not"
        )
    chosen = np.linspace(0, len(learning) - 1, min(count, len(learning))).round().astype(np.int64)
    calibration = _float32(x[learning[chosen]], data)
    if calibration.min() == calibration.max():
        raise DataError(
            f"every value of every sample is {calibration.min():g}",
            where=f"{data.source}: x",
            expected="samples like those that devices will see: they fix the activations' ranges",
        )
    measured = np.flatnonzero(data.test) if data.test is not None else learning
    return Representative(calibration, _float32(x[measured], data), _labels(data, measured))


def _float32(x: NDArray[Any], data: Dataset) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        made = x.astype(np.float32)
    if not np.isfinite(made).all():
        raise DataError(
            "samples are beyond float32", where=f"{data.source}: x", expected="up to 3.4e38"
        )
    return made


def _labels(data: Dataset, chosen: NDArray[np.intp]) -> NDArray[np.int64] | None:
    if data.y is None or data.y.ndim != 1 or data.y.dtype.kind not in "iu":
        return None
    return data.y[chosen].astype(np.int64)
