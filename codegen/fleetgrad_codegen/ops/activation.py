# SPDX-License-Identifier: Apache-2.0
"""Fused activations: in quantised arithmetic each is a clamp of the output."""

from dataclasses import replace
from enum import IntEnum

import numpy as np

from fleetgrad_codegen.errors import UnsupportedError
from fleetgrad_codegen.ir import Tensor
from fleetgrad_codegen.ops.fixed_point import round_half_away


class Activation(IntEnum):
    """The fused activations that can be told by a range; the values are the schema's."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3


_SCHEMA_NAMES = {4: "TANH", 5: "SIGN_BIT"}

_FAR = 2.0**20
"""Beyond the ends of int8, however small the scale."""


def parse_activation(code: int) -> Activation:
    """The activation of a schema code.

    Raises:
        UnsupportedError: TANH, SIGN_BIT or an unknown code.
    """
    try:
        return Activation(code)
    except ValueError:
        raise UnsupportedError(
            f"the fused activation {_SCHEMA_NAMES.get(code, code)} is not supported",
            expected="NONE, RELU, RELU6 or RELU_N1_TO_1",
        ) from None


def grown_quantization(tensor: Tensor, exponent: int) -> Tensor:
    """The tensor with its scales doubled ``exponent`` times."""
    found = tensor.quantization
    if found is None or not exponent:
        return tensor
    scale = tuple(s * 2.0**exponent for s in found.scale)
    return replace(tensor, quantization=replace(found, scale=scale))


def activation_range(activation: Activation, output: Tensor) -> tuple[int, int]:
    """Smallest and largest quantised value that a fused activation lets through.

    Args:
        activation: The fused activation.
        output: The int8 tensor it produces, with its scale and zero point.

    Returns:
        Both ends, inclusive, within [-128, 127].
    """
    low, high = _ends(activation, output)
    return max(-128, low), min(127, high)


def is_cut(activation: Activation, output: Tensor) -> tuple[bool, bool]:
    """Whether int8 ends before the activation does, at the lower and at the upper end.

    Only there can an output at -128 or 127 have been cut off by the tensor's range.
    """
    low, high = _ends(activation, output)
    return low < -128, high > 127


def _ends(activation: Activation, output: Tensor) -> tuple[int, int]:
    """Both ends of the activation, as if integers had no end."""
    low, high = -int(_FAR), int(_FAR)
    if activation is Activation.NONE or output.quantization is None:
        return low, high
    scale, zero = np.float32(output.quantization.scale[0]), output.quantization.zero_point[0]

    def quantised(real: float) -> int:
        with np.errstate(over="ignore"):
            ratio = float(np.float32(real) / scale)  # divides in float32
        return zero + round_half_away(max(-_FAR, min(ratio, _FAR)))

    if activation is Activation.RELU_N1_TO_1:
        return quantised(-1.0), quantised(1.0)
    return quantised(0.0), quantised(6.0) if activation is Activation.RELU6 else high
