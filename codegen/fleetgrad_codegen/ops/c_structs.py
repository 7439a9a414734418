# SPDX-License-Identifier: Apache-2.0
"""Initialisers of the structs that ``fg_kernels.h`` shares between kernels."""

from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.ir import Tensor
from fleetgrad_codegen.ops.fixed_point import Multiplier
from fleetgrad_codegen.ops.window import Axis

KERNELS = "fleetgrad/fg_kernels.h"
"""The header that every operator's code includes."""


def int16(value: int, what: str, where: str) -> int:
    """The value, where a kernel's parameter has 16 bits.

    Raises:
        UnsupportedError: It does not fit.
    """
    if not -(2**15) <= value < 2**15:
        raise UnsupportedError(f"{what} of {value}", where, "below 32768")
    return value


def window(rows: Axis, columns: Axis, where: str) -> str:
    """An ``fg_window``.

    Args:
        rows: Geometry along the height.
        columns: Geometry along the width.
        where: The operator, for messages.

    Raises:
        UnsupportedError: A dimension has more than 15 bits.
    """
    fields = []
    for name, attribute in (
        ("in", "size"),
        ("out", "output"),
        ("kernel", "window"),
        ("stride", "stride"),
        ("dilation", "dilation"),
    ):
        for suffix, axis in (("h", rows), ("w", columns)):
            value = int16(getattr(axis, attribute), f"a window's {attribute}", where)
            fields.append(f".{name}_{suffix} = {value}")
    fields.append(f".pad_top = {int16(rows.before, 'padding', where)}")
    fields.append(f".pad_left = {int16(columns.before, 'padding', where)}")
    return f"{{{', '.join(fields)}}}"


def output(tensor: Tensor, limits: tuple[int, int]) -> str:
    """An ``fg_output``.

    Args:
        tensor: What is written, quantised with one zero point.
        limits: Smallest and largest value that may be written.
    """
    zero = zero_point(tensor)
    low, high = (limit - zero for limit in limits)
    return f"{{.low = {low}, .high = {high}, .zero_point = {zero}}}"


def scale(multiplier: Multiplier) -> str:
    """An ``fg_tensor_scale``."""
    return f"{{.value = {multiplier.value}, .shift = {multiplier.shift}}}"


def zero_point(tensor: Tensor) -> int:
    """The zero point of a quantised activation."""
    if tensor.quantization is None:
        raise ValueError(f"{tensor.name} is not quantised")
    return tensor.quantization.zero_point[0]
